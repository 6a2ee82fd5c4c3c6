# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge who is at work: connections, long queries, open transactions, locks, and what holds old rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    Activity,
    Policy,
    Prepared,
    Problem,
    SessionRow,
    Snapshot,
    Verdict,
    Waiter,
    Workers,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.unseen import not_permitted
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.words import (
    literal,
    metric,
    not_seen,
    percent,
    percents,
    problem,
    told,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder, quote_name

# Workers that have been at it for so long are held up, and so is what waits for them.
BUSY_SECONDS = 3600.0


def connections(snapshot: Snapshot, policy: Policy, seen: Activity) -> Verdict:
    facts, limits = snapshot.facts, policy.connections
    reserved = sum(facts.number(name) or 0 for name in ("superuser_reserved_connections", "reserved_connections"))
    room = int((facts.number("max_connections") or 0) - reserved)
    share = seen.used / room if room > 0 else 1.0
    problems = []
    counts: dict[str, int] = {"used": seen.used}
    idle = ""
    if facts.reads_all_stats:
        # Else their states are hidden, and the numbers would be ours alone.
        counts.update(active=seen.active, idle=seen.idle, idle_in_transaction=seen.idle_in_transaction)
        idle = f"; {seen.idle} are idle, {seen.idle_in_transaction} idle in a transaction"
    if limits.severity(share) > Severity.OK:
        problems.append(
            problem(
                "pg.connections_high",
                snapshot.subject("connections"),
                limits.severity(share),
                f"{seen.used} of {room} connections are used, {percent(share)} ({percents(limits)}){idle}.",
                {"room": room, "reserved": int(reserved), **counts},
                "End what is idle for long, use a pooler, or raise max_connections:",
                "SELECT pid, usename, application_name, state_change FROM pg_stat_activity WHERE state = 'idle' "
                "ORDER BY state_change;",
            )
        )
    problems += _limited(snapshot, policy, seen)
    found = [
        metric(snapshot, "pg_connections_used", seen.used, "count"),
        metric(snapshot, "pg_connections_used_ratio", round(share, 4), "ratio"),
    ]
    if seen.oldest_transaction is not None:
        found.append(metric(snapshot, "pg_oldest_transaction", round(seen.oldest_transaction, 3), "seconds"))
    threshold = {"warning": limits.warning, "critical": limits.critical}
    return Verdict(round(share, 4), threshold, ({**counts, "room": room},), tuple(problems), tuple(found))


def _limited(snapshot: Snapshot, policy: Policy, seen: Activity) -> list[Problem]:
    """Databases and roles with a limit of their own may be full long before the server is."""
    every = [
        ("database", "DATABASE", row.name, row.backends, row.connection_limit)
        for row in snapshot.databases
        if row.connection_limit > 0
    ]
    every += [("role", "ROLE", row["role"], row["used"], row["limit"]) for row in seen.roles]
    problems = []
    for kind, keyword, name, used, limit in every:
        severity = policy.connections.severity(used / limit)
        if severity > Severity.OK:
            quoted = quote_name(name)
            problems.append(
                problem(
                    "pg.connections_high",
                    snapshot.subject(f"{kind} {quoted}"),
                    severity,
                    f"The {kind} {one_line(quoted)} has {used} of the {limit} connections that it may have "
                    f"({percents(policy.connections)}).",
                    {"used": used, "limit": limit},
                    "End what is idle, or raise its limit:",
                    f"ALTER {keyword} {quoted} CONNECTION LIMIT {limit * 2};",
                )
            )
    return problems


def long_queries(snapshot: Snapshot, policy: Policy, seen: tuple[int, tuple[SessionRow, ...]]) -> Verdict:
    count, sessions = seen
    problems = []
    for session in sessions:
        took = format_duration(session.seconds or 0.0)
        what = f"runs {session.doing}" if session.doing else "runs a query"
        wait = f", waiting ({session.wait})" if session.wait else ""
        problems.append(
            problem(
                "pg.long_query",
                snapshot.subject(f"pid {session.pid}"),
                # Maintenance takes long by its nature: it is worth a word, and no alarm.
                Severity.INFO if session.doing else Severity.WARNING,
                f"The session {session.who} {what} for {took}{wait} (limit {format_duration(policy.long_query)}).",
                session.as_dict(),
                "Ask its owner, or cancel the query:",
                f"SELECT pg_cancel_backend({session.pid});",
            )
        )
    return Verdict(
        count,
        policy.long_query,
        tuple(session.as_dict() for session in sessions),
        told(problems, snapshot.subject("long_queries"), count),
        (metric(snapshot, "pg_long_queries", count, "count"),),
    )


def idle_in_transaction(snapshot: Snapshot, policy: Policy, seen: tuple[int, tuple[SessionRow, ...]]) -> Verdict:
    count, sessions = seen
    problems = [
        problem(
            "pg.idle_in_transaction",
            snapshot.subject(f"pid {session.pid}"),
            Severity.WARNING,
            f"The session {session.who} has been idle in its transaction for {format_duration(session.seconds or 0.0)} "
            f"(limit {format_duration(policy.idle_in_transaction)}).",
            session.as_dict(),
            "Commit or roll back there, or end it:",
            f"SELECT pg_terminate_backend({session.pid});",
        )
        for session in sessions
    ]
    return Verdict(
        count,
        policy.idle_in_transaction,
        tuple(session.as_dict() for session in sessions),
        told(problems, snapshot.subject("idle_in_transaction"), count),
        (metric(snapshot, "pg_idle_in_transaction", count, "count"),),
    )


# --- locks ------------------------------------------------------------------------------------------------------------


def lock_waits(
    snapshot: Snapshot, policy: Policy, seen: tuple[int, tuple[Waiter, ...], Mapping[int, SessionRow]]
) -> Verdict:
    """Judge the trees of waiting: one problem for each session at a root, however many wait for it."""
    count, waiters, sessions = seen
    waiting = {waiter.pid: waiter for waiter in waiters}
    below: dict[int, set[int]] = {}
    for waiter in waiters:
        for root in roots_of(waiter.pid, waiting):
            below.setdefault(root, set()).add(waiter.pid)
    problems, items = [], []
    for root, victims in sorted(below.items(), key=lambda entry: -_longest(entry[1], waiting)):
        longest = _longest(victims, waiting)
        items.append(_tree(root, victims, waiting, sessions))
        if longest >= policy.lock_wait:
            problems.append(_blocked(snapshot, policy, root, victims, waiting, sessions))
    longest_of_all = max((waiter.seconds or 0.0 for waiter in waiters), default=0.0)
    return Verdict(
        count,
        policy.lock_wait,
        tuple(items),
        told(problems, snapshot.subject("lock_waits")),
        (
            metric(snapshot, "pg_lock_waits", count, "count"),
            metric(snapshot, "pg_lock_wait_longest", round(longest_of_all, 3), "seconds"),
        ),
    )


def roots_of(pid: int, waiting: Mapping[int, Waiter]) -> set[int]:
    """Return those at the end of the chains of waiting that begin with *pid*: they wait for nobody that is known."""
    roots, seen, queue = set(), {pid}, list(waiting[pid].blockers)
    while queue:
        blocker = queue.pop()
        if blocker in seen:
            continue
        seen.add(blocker)
        deeper = waiting.get(blocker)
        if deeper is None or not deeper.blockers:
            roots.add(blocker)
        else:
            queue += deeper.blockers
    return roots


def _longest(victims: set[int], waiting: Mapping[int, Waiter]) -> float:
    return max(waiting[pid].seconds or 0.0 for pid in victims)


def _blocked(
    snapshot: Snapshot,
    policy: Policy,
    root: int,
    victims: set[int],
    waiting: Mapping[int, Waiter],
    sessions: Mapping[int, SessionRow],
) -> Problem:
    blocker = sessions.get(root, SessionRow(root))
    longest = waiting[max(victims, key=lambda pid: waiting[pid].seconds or 0.0)]
    doing = f", {blocker.state}" if blocker.state else ""
    where = f" on {one_line(longest.relation)}" if longest.relation else ""
    others = f"{len(victims)} sessions wait" if len(victims) > 1 else "1 session waits"
    if root == 0:
        advice, sql = "Finish it with COMMIT PREPARED or ROLLBACK PREPARED:", "SELECT * FROM pg_prepared_xacts;"
    else:
        advice, sql = "Let it end, or end it:", f"SELECT pg_terminate_backend({root});"
    return problem(
        "pg.lock_wait",
        snapshot.subject("a prepared transaction" if root == 0 else f"pid {root}"),
        Severity.WARNING,
        f"{others} for {blocker.who}{doing}, the longest for {format_duration(longest.seconds or 0.0)}: pid "
        f"{longest.pid} wants {longest.lock}{where} (limit {format_duration(policy.lock_wait)}).",
        _tree(root, victims, waiting, sessions),
        advice,
        sql,
    )


def _tree(
    root: int, victims: set[int], waiting: Mapping[int, Waiter], sessions: Mapping[int, SessionRow]
) -> dict[str, object]:
    """Return the tree below *root* as a list: each waiter with whom it waits for."""
    ordered = sorted(victims, key=lambda pid: -(waiting[pid].seconds or 0.0))
    return {
        "blocker": sessions.get(root, SessionRow(root)).as_dict(),
        "waiting": [
            {
                "pid": pid,
                "user": sessions.get(pid, SessionRow(pid)).user,
                "application": sessions.get(pid, SessionRow(pid)).application,
                "seconds": round(waiting[pid].seconds or 0.0),
                "for": list(waiting[pid].blockers),
                "lock": waiting[pid].lock,
                "relation": waiting[pid].relation,
            }
            for pid in ordered[:10]
        ],
        "waiting_count": len(victims),
    }


# --- what holds old rows ----------------------------------------------------------------------------------------------


def xmin_holders(snapshot: Snapshot, policy: Policy, seen: tuple[Holder, ...]) -> Verdict:
    problems = []
    old = [
        holder for holder in seen if holder.xid_age >= policy.xmin_age or (holder.seconds or 0.0) >= policy.xmin_time
    ]
    for holder in old:
        advice, sql = _ending(holder)
        where = f" in {one_line(quote_name(holder.database))}" if holder.database else " in every database"
        problems.append(
            problem(
                "pg.xmin_held",
                snapshot.subject(f"{holder.kind} {holder.id}"),
                Severity.WARNING,
                f"No row that was deleted since can be removed{where} because of {holder.title} (limits "
                f"{policy.xmin_age} transactions and {format_duration(policy.xmin_time)}).",
                holder.as_dict(),
                advice,
                sql,
            )
        )
    oldest = max((holder.xid_age for holder in seen), default=0)
    found = told(problems, snapshot.subject("xmin_holders"))
    if not snapshot.facts.reads_all_stats:
        why = "how long transactions of others have lasted is not shown to the role; their age in transactions is"
        found += (not_seen("xmin_holders", snapshot.subject("xmin_holders"), not_permitted("", snapshot.user, why)),)
    return Verdict(
        oldest,
        {"transactions": policy.xmin_age, "seconds": policy.xmin_time},
        tuple(holder.as_dict() for holder in seen),
        found,
        (metric(snapshot, "pg_xmin_oldest", oldest, "count"),),
    )


def _ending(holder: Holder) -> tuple[str, str]:
    """Return what to do about *holder*, and the statement for it. None of them is ever sent by us."""
    advice = holder.hint.partition(": ")[0]
    if holder.kind == "prepared":
        return (
            "Ask its coordinator, then COMMIT PREPARED in its database or:",
            f"ROLLBACK PREPARED {literal(holder.id)};",
        )
    if holder.kind == "slot":
        return f"{advice}:", f"SELECT pg_drop_replication_slot({literal(holder.id)});"
    if holder.kind == "standby_feedback":
        return advice, ""
    return f"{advice}:", f"SELECT pg_terminate_backend({holder.id});"


def prepared_xacts(snapshot: Snapshot, policy: Policy, seen: tuple[Prepared, ...]) -> Verdict:
    problems, items = [], []
    for each in seen:
        name = one_line(repr(each.gid))
        items.append({"gid": each.gid, "database": each.database, "owner": each.owner, "seconds": round(each.seconds)})
        if each.seconds >= policy.prepared_xact:
            problems.append(
                problem(
                    "pg.prepared_transaction_old",
                    snapshot.subject(f"prepared {each.gid}"),
                    Severity.WARNING,
                    f"The transaction {name} of {one_line(quote_name(each.owner))} has been prepared for "
                    f"{format_duration(each.seconds)} (limit {format_duration(policy.prepared_xact)}).",
                    items[-1],
                    f"Ask its coordinator, then, in {one_line(quote_name(each.database))}, COMMIT PREPARED or:",
                    f"ROLLBACK PREPARED {literal(each.gid)};",
                )
            )
    return Verdict(
        len(seen),
        policy.prepared_xact,
        tuple(items),
        told(problems, snapshot.subject("prepared_xacts")),
        (metric(snapshot, "pg_prepared_transactions", len(seen), "count"),),
    )


# --- autovacuum -------------------------------------------------------------------------------------------------------


def autovacuum(snapshot: Snapshot, policy: Policy, seen: Workers) -> Verdict:
    facts, subject = snapshot.facts, snapshot.subject("autovacuum")
    most = int(facts.number("autovacuum_max_workers") or 0)
    problems = []
    if not facts.is_on("autovacuum"):
        problems.append(
            problem(
                "pg.autovacuum_off",
                subject,
                Severity.WARNING,
                "Autovacuum is off: nothing but an emergency vacuums or analyses a table by itself.",
                {"autovacuum": facts.settings.get("autovacuum")},
                "Turn it on:",
                "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();",
            )
        )
    elif not snapshot.facts.reads_all_stats:
        why = "the workers of autovacuum are not shown to the role"
        problems.append(not_seen("autovacuum", subject, not_permitted("autovacuum", snapshot.user, why)))
    elif most and seen.workers >= most and (seen.shortest or 0.0) >= BUSY_SECONDS:
        problems.append(
            problem(
                "pg.autovacuum_busy",
                subject,
                Severity.WARNING,
                f"All {most} workers of autovacuum are busy, each for {format_duration(seen.shortest or 0.0)} at the "
                "least: other tables wait.",
                {"workers": seen.workers, "autovacuum_max_workers": most, "against_wraparound": seen.emergency},
                "Let them work faster:",
                "ALTER SYSTEM SET autovacuum_vacuum_cost_limit = 2000; SELECT pg_reload_conf();",
            )
        )
    item = {"workers": seen.workers, "autovacuum_max_workers": most, "against_wraparound": seen.emergency}
    found = (metric(snapshot, "pg_autovacuum_workers", seen.workers, "count"),)
    return Verdict(None, None, (item,), tuple(problems), found)
