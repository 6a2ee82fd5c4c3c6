"""The server in the containers that updates are tested with; its faults are switched on by variables.

VERSION is in each answer. BOOT seconds pass before it listens. After SIGTERM it goes on for GRACE seconds. MODE is
`ok`, `never_healthy`, `crash` or `sick` (AFTER seconds after it listens), `deaf` (to SIGTERM), `exit` (at once, with
CODE) or `oom`. While /tmp/drain is there, it is not healthy. Each POST is noted by its id in the file COUNTER.
"""

import asyncio
import json
import os
import signal
import sys
import time

VERSION = os.environ.get("VERSION", "1")
MODE = os.environ.get("MODE", "ok")
AFTER = float(os.environ.get("AFTER", "1"))
WORK = float(os.environ.get("WORK", "0.02"))
COUNTER = os.environ.get("COUNTER", "")
begun = time.monotonic()
leaving = False


def healthy():
    if MODE == "never_healthy" or os.path.exists("/tmp/drain"):
        return False
    return not (MODE == "sick" and time.monotonic() - begun > AFTER)


async def answer(method, path, body):
    if path.startswith("/health"):
        good = healthy()
        return (200 if good else 503), json.dumps({"status": "ok" if good else "sick", "version": VERSION})
    if path.startswith("/slow/"):
        await asyncio.sleep(float(path.rpartition("/")[2]))
    else:
        await asyncio.sleep(WORK)
    if method == "POST" and COUNTER:
        descriptor = os.open(COUNTER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(descriptor, body.strip() + b"\n")
        os.close(descriptor)
    return 200, json.dumps({"version": VERSION})


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, path, _protocol = lines[0].split(" ", 2)
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            status, text = await answer(method, path, body)
            close = leaving or headers.get("connection") == "close" or _protocol == "HTTP/1.0"
            words = "OK" if status == 200 else "Unavailable"
            writer.write(
                f"HTTP/1.1 {status} {words}\r\nContent-Type: application/json\r\nX-Version: {VERSION}\r\n"
                f"Content-Length: {len(text)}\r\nConnection: {'close' if close else 'keep-alive'}\r\n\r\n".encode()
                + text.encode()
            )
            await writer.drain()
            if close:
                return
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return
    finally:
        writer.close()


async def crash():
    await asyncio.sleep(AFTER)
    print("it crashes", flush=True)
    os._exit(3)


def eat():
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20)))


async def main():
    global begun
    if MODE == "exit":
        print("it does not start", flush=True)
        sys.exit(int(os.environ.get("CODE", "1")))
    await asyncio.sleep(float(os.environ.get("BOOT", "0.2")))
    if MODE == "oom":
        eat()
    server = await asyncio.start_server(serve, "0.0.0.0", 8000, backlog=1024)
    begun = time.monotonic()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, (lambda: None) if MODE == "deaf" else told.set)
    background = asyncio.create_task(crash()) if MODE == "crash" else None
    await told.wait()
    global leaving
    leaving = True
    # As a well-behaved server: it goes on for those who have not heard, and then ends what it has begun.
    await asyncio.sleep(float(os.environ.get("GRACE", "0")))
    server.close()
    deadline = time.monotonic() + float(os.environ.get("FINISH", "8"))
    while len(asyncio.all_tasks()) > (2 if background else 1) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


asyncio.run(main())
