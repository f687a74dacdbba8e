#!/usr/bin/env python3
"""A model of a log in a store: who may ack what, while others take volumes out of it.

    python3 slots.py            every state: none breaks a promise
    python3 slots.py RULE       the same without one rule: the shortest history that breaks a promise; exit 1
    python3 slots.py --rules    the rules that can be taken out

What is modelled: engine A writes two volumes, V and W, into slots of its log, several on their way at once, in any order,
also long after A has given up on them. B takes V and may die half-way and come again; C takes W. A taker swaps the
manifest, walks the logs that it names, puts a seal into the first hole, and has what it read. A that meets a seal
re-reads the manifests, goes on in a new log with what is still its own, and takes along what stood at or above the seal.
A commits, and deletes slots; a taker commits, and sweeps logs that no manifest names. Promises: what was acked is in the
hands of whoever owns the volume then, with nothing missing before it.

This is what engine/wal/slots*.c, upload/logs.c and upload/inherit.c keep to (PROTOCOL 3, S2, S3, S17).

State: S slots {((log, n), (volume, rev) or SEAL)}, M manifests (epoch, logs ((log, position) ...), stored), A the engine
(log, next slot, on their way, known to be its own, acked below, to be written again, next revs, owns, names, positions),
Z PUTs that A waits for no more, K acked {(volume, rev)}, T takers (phase, logs left to walk, read), n deaths."""
import sys

from explore import main

RULES = {
    'order': 'a slot is acked only when all slots below are known to be ours',
    'absent': 'a slot is written only if it is absent',
    'settle': 'a refused PUT is settled by reading the slot',
    'seal': 'a taker seals the first hole that it finds',
    'keep': 'a taker\'s swap keeps the logs that were there',
    'position': 'slots go only below the lowest position that a settled manifest gives (S2)',
    'name': 'a volume\'s write is acked in a log only when its manifest names the log (S3)',
    'add': 'the manifest goes on naming a log that holds what is acked and not stored',
    'again': 'what stood at or above the seal is written first in the next log',
    'stays': 'a sweep leaves the seal',
}
V, W = 0, 1
SEAL = 'seal'
REVS, WINDOW, LOGS, SLOTS, DEATHS = (1, 2), 2, 2, (2, 2), 1
WALKING, HOLDS, STORED = 1, 2, 3


def put(t, i, x):
    return t[:i] + (x,) + t[i + 1:]


class Model:
    def __init__(self, without=()):
        self.on = {r: r not in without for r in RULES}

    @staticmethod
    def init():
        man = (1, ((0, 0),), 0)
        a = (0, 0, (), frozenset(), 0, (), (0, 0), (True, True), (0, 0), (0, 0))
        none = (0, (), frozenset())
        return (frozenset(), (man, man), a, frozenset(), frozenset(), (none, none), 0)

    # ---- engine A

    def send(self, s):
        S, M, A, Z, K, T, n = s
        log, nxt, fly, conf, done, again, rev, own, named, pos = A
        if nxt == SLOTS[log] or len(fly) == WINDOW:
            return
        for v in (V, W):
            first = [r for u, r in again if u == v]
            if not own[v] or (not first and rev[v] == REVS[v]):
                continue
            r = first[0] if first else rev[v]
            rest = tuple(x for x in again if x != (v, r))
            rv = rev if first else put(rev, v, rev[v] + 1)
            yield f'A puts {name(v)}{r} to {log}/{nxt}', (
                S, M, (log, nxt + 1, fly + ((nxt, v, r),), conf, done, rest, rv, own, named, pos), Z, K, T, n)

    def land(self, S, key, content):
        there = dict(S).get(key)
        if there is None or there == content:
            return S | {(key, content)}
        return S if self.on['absent'] else S - {(key, there)} | {(key, content)}

    def puts(self, s):
        S, M, A, Z, K, T, n = s
        log, nxt, fly, conf, done, again, rev, own, named, pos = A
        for k, v, r in fly:
            now = self.land(S, (log, k), (v, r))
            if now != S:
                yield f'{log}/{k} lands', (now, M, A, Z, K, T, n)
        for key, content in Z:
            now = self.land(S, key, content)
            if now != S:
                yield f'{key[0]}/{key[1]} lands late', (now, M, A, Z - {(key, content)}, K, T, n)

    def learn(self, s):
        """The answer, or what a look at the slot says."""
        S, M, A, Z, K, T, n = s
        log, nxt, fly, conf, done, again, rev, own, named, pos = A
        there = dict(S)
        for f in fly:
            k, v, r = f
            found = there.get((log, k))
            rest = tuple(x for x in fly if x != f)
            if found == (v, r) or (found == SEAL and not self.on['settle']):
                yield f'A knows {log}/{k} to be its own', (
                    S, M, (log, nxt, rest, conf | {(k, v, r)}, done, again, rev, own, named, pos), Z, K, T, n)
            elif found == SEAL and log + 1 < LOGS:
                late = frozenset(((log, x), (u, q)) for x, u, q in fly if (log, x) not in there)
                void = sorted((u, q) for x, u, q in set(fly) | conf if x >= k)
                below = [x for x in range(done, k) if not any(c[0] == x for c in conf)]
                if below:
                    continue  # what lies below the seal is ours: it is settled and acked first
                acked = self.acks(K, [c for c in conf if done <= c[0] < k], own, named, log)
                yield f'A finds {log}/{k} sealed and begins log {log + 1}', (
                    S, M, (log + 1, 0, (), frozenset(), 0, tuple(void) if self.on['again'] else (), rev, own,
                           named if self.on['name'] else tuple(log + 1 for _ in named), (0, 0)), Z | late, acked, T, n)

    def acks(self, K, slots, own, named, log):
        return K | {(v, r) for k, v, r in slots if own[v] and named[v] == log}

    def ack(self, s):
        S, M, A, Z, K, T, n = s
        log, nxt, fly, conf, done, again, rev, own, named, pos = A
        for c in conf:
            k, v, r = c
            if self.on['order'] and k != done:
                continue
            if own[v] and named[v] != log:
                continue
            now = self.acks(K, [c], own, named, log)
            if now != K or k == done:
                yield f'A acks {log}/{k}' + ('' if own[v] else ', which nobody waits for'), (
                    S, M, (log, nxt, fly, conf, done + (k == done), again, rev, own, named, pos), Z, now, T, n)

    def commit(self, s):
        """A's swap of one volume's manifest: it stores all that is acked, or only names this log."""
        S, M, A, Z, K, T, n = s
        log, nxt, fly, conf, done, again, rev, own, named, pos = A
        for v in (V, W):
            epoch, logs, stored = M[v]
            if not own[v]:
                continue
            if epoch > 1:
                yield f'A finds {name(v)} taken', (
                    S, M, (log, nxt, fly, conf, done, tuple(x for x in again if x[0] != v), rev, put(own, v, False), named, pos),
                    Z, K, T, n)
                continue
            all_acked = sum(1 for u, r in K if u == v)
            for upto in {all_acked} | ({stored} if named[v] != log else set()):
                whole = upto == all_acked
                old = tuple(x for x in logs if x[0] != log) if not whole and self.on['add'] else ()
                at = done if whole else dict(logs).get(log, done)
                m = (epoch, old + ((log, at),), upto)
                if m != M[v]:
                    yield f'A commits {name(v)}: stored {upto}, logs {m[1]}', (
                        S, put(M, v, m), (log, nxt, fly, conf, done, again, rev, own, put(named, v, log), put(pos, v, at)),
                        Z, K, T, n)

    def delete(self, s):
        S, M, A, Z, K, T, n = s
        log, nxt, fly, conf, done, again, rev, own, named, pos = A
        below = min(pos)
        if not self.on['position']:  # what is stored is needed no more, an idle volume holds nothing
            held = [k for (l, k), c in S if l == log and c != SEAL and c[1] >= M[c[0]][2]]
            below = min(held + [done])
        gone = [(key, c) for key, c in S if key[0] == log and key[1] < below and c != SEAL]
        if gone:
            yield f'A deletes {log}/..{below}', (S - set(gone), M, A, Z, K, T, n)

    # ---- those who take volumes

    def take(self, s):
        S, M, A, Z, K, T, n = s
        for v in (V, W):
            who = 'BC'[v]
            phase, left, got = T[v]
            epoch, logs, stored = M[v]
            kept = logs if self.on['keep'] else ()
            if phase == 0:
                t = (WALKING if logs else HOLDS, logs, frozenset())
                yield f'{who} takes {name(v)}: logs {logs}, stored {stored}', (
                    S, put(M, v, (epoch + 1, kept, stored)), A, Z, K, put(T, v, t), n)
            elif phase == WALKING:
                yield from self.walk(s, v, who)
            elif phase == HOLDS:
                m = (epoch, (), stored + len([r for r in got if r >= stored]))
                yield f'{who} commits {name(v)}', (S, put(M, v, m), A, Z, K, put(T, v, (STORED, (), frozenset())), n)
            if v == V and phase in (WALKING, HOLDS) and n < DEATHS:
                yield f'{who} dies', (S, M, A, Z, K, put(T, v, (0, (), frozenset())), n + 1)

    def walk(self, s, v, who):
        """One log, up to its first hole: what is there stays there, so that this is one step changes nothing."""
        S, M, A, Z, K, T, n = s
        phase, left, got = T[v]
        log, k = left[0]
        there = dict(S)
        while there.get((log, k), SEAL) != SEAL:
            u, r = there[(log, k)]
            got = got | {r} if u == v else got
            k += 1
        if (log, k) not in there and self.on['seal']:
            S = S | {((log, k), SEAL)}
        t = (WALKING if left[1:] else HOLDS, left[1:], got)
        yield f'{who} walks log {log} to the hole or seal at {k}', (S, M, A, Z, K, put(T, v, t), n)

    def sweep(self, s):
        """A log that is sealed and that no manifest names."""
        S, M, A, Z, K, T, n = s
        used = {log for m in M for log, at in m[1]}
        for log in {key[0] for key, c in S if c == SEAL} - used:
            gone = {(key, c) for key, c in S if key[0] == log and not (self.on['stays'] and c == SEAL)}
            if gone:
                yield f'a sweep deletes log {log}', (S - gone, M, A, Z, K, T, n)

    def steps(self, s):
        for step in (self.send, self.puts, self.learn, self.ack, self.commit, self.delete, self.take, self.sweep):
            yield from step(s)

    # ---- promises

    def broken(self, s):
        S, M, A, Z, K, T, n = s
        for v in (V, W):
            phase, left, got = T[v]
            if phase < HOLDS:
                continue
            has = set(range(M[v][2])) | got
            for u, r in sorted(K):
                if u == v and r not in has:
                    return f'P1: {name(v)}{r} was acked, its new owner has {sorted(has)}'
            if has != set(range(len(has))):
                return f'P2: of {name(v)} its new owner has {sorted(has)}'
        return None


def name(v):
    return 'VW'[v]


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:], __doc__, RULES, [Model], 2_000_000))
