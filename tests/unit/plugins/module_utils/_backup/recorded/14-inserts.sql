--
-- PostgreSQL database dump
--

\restrict Xkwekw93BVo33l5VE1taXlochRed2JJ9FzDIDmaUnBiW4GbkfjbsQm6uAKfv5ma

-- Dumped from database version 14.23
-- Dumped by pg_dump version 14.23

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: speaks_of_dumps(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.speaks_of_dumps() RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  /*

COPY public.fake (a, b) FROM stdin;
1	2

--
-- PostgreSQL database dump complete
--

  */
end $$;


ALTER FUNCTION public.speaks_of_dumps() OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: a "quoted" name; FROM stdin;; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."a ""quoted""
name; FROM stdin;" (
    "a ""b
c" text,
    d integer
);


ALTER TABLE public."a ""quoted""
name; FROM stdin;" OWNER TO postgres;

--
-- Name: customers; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.customers (
    id integer NOT NULL,
    name text
);


ALTER TABLE public.customers OWNER TO postgres;

--
-- Name: lines; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.lines (
    line text
);


ALTER TABLE public.lines OWNER TO postgres;

--
-- Name: no_columns; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.no_columns (
);


ALTER TABLE public.no_columns OWNER TO postgres;

--
-- Name: nothing; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.nothing (
    a integer,
    b text
);


ALTER TABLE public.nothing OWNER TO postgres;

--
-- Name: 16411; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('16411');


ALTER LARGE OBJECT 16411 OWNER TO postgres;

--
-- Name: 16412; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('16412');


ALTER LARGE OBJECT 16412 OWNER TO postgres;

--
-- Data for Name: a "quoted" name; FROM stdin;; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public."a ""quoted""
name; FROM stdin;" VALUES ('x', 1);


--
-- Data for Name: customers; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.customers VALUES (1, 'customer 1');
INSERT INTO public.customers VALUES (2, 'customer 2');
INSERT INTO public.customers VALUES (3, 'customer 3');
INSERT INTO public.customers VALUES (4, 'customer 4');
INSERT INTO public.customers VALUES (5, 'customer 5');
INSERT INTO public.customers VALUES (6, 'customer 6');
INSERT INTO public.customers VALUES (7, 'customer 7');
INSERT INTO public.customers VALUES (8, 'customer 8');
INSERT INTO public.customers VALUES (9, 'customer 9');
INSERT INTO public.customers VALUES (10, 'customer 10');
INSERT INTO public.customers VALUES (11, 'customer 11');
INSERT INTO public.customers VALUES (12, 'customer 12');
INSERT INTO public.customers VALUES (13, 'customer 13');
INSERT INTO public.customers VALUES (14, 'customer 14');
INSERT INTO public.customers VALUES (15, 'customer 15');
INSERT INTO public.customers VALUES (16, 'customer 16');
INSERT INTO public.customers VALUES (17, 'customer 17');
INSERT INTO public.customers VALUES (18, 'customer 18');
INSERT INTO public.customers VALUES (19, 'customer 19');
INSERT INTO public.customers VALUES (20, 'customer 20');
INSERT INTO public.customers VALUES (21, 'customer 21');
INSERT INTO public.customers VALUES (22, 'customer 22');
INSERT INTO public.customers VALUES (23, 'customer 23');
INSERT INTO public.customers VALUES (24, 'customer 24');
INSERT INTO public.customers VALUES (25, 'customer 25');
INSERT INTO public.customers VALUES (26, 'customer 26');
INSERT INTO public.customers VALUES (27, 'customer 27');
INSERT INTO public.customers VALUES (28, 'customer 28');
INSERT INTO public.customers VALUES (29, 'customer 29');
INSERT INTO public.customers VALUES (30, 'customer 30');
INSERT INTO public.customers VALUES (31, 'customer 31');
INSERT INTO public.customers VALUES (32, 'customer 32');
INSERT INTO public.customers VALUES (33, 'customer 33');
INSERT INTO public.customers VALUES (34, 'customer 34');
INSERT INTO public.customers VALUES (35, 'customer 35');
INSERT INTO public.customers VALUES (36, 'customer 36');
INSERT INTO public.customers VALUES (37, 'customer 37');
INSERT INTO public.customers VALUES (38, 'customer 38');
INSERT INTO public.customers VALUES (39, 'customer 39');
INSERT INTO public.customers VALUES (40, 'customer 40');


--
-- Data for Name: lines; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.lines VALUES ('--');
INSERT INTO public.lines VALUES ('-- PostgreSQL database dump complete');
INSERT INTO public.lines VALUES ('--');
INSERT INTO public.lines VALUES ('');
INSERT INTO public.lines VALUES ('\.');
INSERT INTO public.lines VALUES ('one
COPY public.x (a) FROM stdin;
two');
INSERT INTO public.lines VALUES ('\unrestrict abc');
INSERT INTO public.lines VALUES ('after');


--
-- Data for Name: no_columns; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.no_columns DEFAULT VALUES;


--
-- Data for Name: nothing; Type: TABLE DATA; Schema: public; Owner: postgres
--



--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('16411', 131072);
SELECT pg_catalog.lowrite(0, '\xdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef');
SELECT pg_catalog.lo_close(0);

SELECT pg_catalog.lo_open('16412', 131072);
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- Name: customers customers_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (id);


--
-- PostgreSQL database dump complete
--

\unrestrict Xkwekw93BVo33l5VE1taXlochRed2JJ9FzDIDmaUnBiW4GbkfjbsQm6uAKfv5ma

