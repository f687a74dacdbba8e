#!/usr/bin/env python3
"""A model of recovery and commit: one engine, one volume, a disk that loses and delays, a store that answers late.

    python3 commit.py            every state: none breaks a promise
    python3 commit.py RULE       the same without one rule: the shortest history that breaks a promise; exit 1
    python3 commit.py --rules    the rules that can be taken out

What is modelled (engine/wal/FORMAT.md, engine/upload/commit.c): a write is a group in the newest file of the WAL. It is
on its way, or in the cache of the disk, or durable. A kill leaves what is on its way to land later, also in the middle of
the next life; a power cut keeps any part of it. Opening flushes, scans, seals the old tail in a new file, then serves.
A round is uploaded, the manifest swapped (the answer may be lost, the swap may land late), the index follows, then
files go. Promises: what was acked or read is there in every later life, under the same number, with the same bytes (P1, P3), with
nothing missing before it (P2, P5), also when the store is away at the start and only index and WAL are there (P8).

State: D durable groups, W groups under way {(file, pos, rev, value, landed)}, S seals, P the process, M the manifest
and X the index (version, stored values), C the swap on its way, K known promises {(rev, value)}, n counters."""
import sys

from explore import main

RULES = {
    'flush': 'a group is acked only after a flush',
    'reflush': 'opening flushes what it found before it serves it',
    'seal': 'opening seals the old tail, later openings obey',
    'newfile': 'a run never writes into a file of an older run',
    'cut': 'a scan of a file ends at the first group that is not there',
    'settle': 'a swap without an answer is settled by reading before anything else is sent',
    'index': 'files go only when the index has the commit too',
    'recycle': 'files go only when all of them is stored',
}
REVS, CRASHES, POS = 3, 3, 3


class Model:
    def __init__(self, without=()):
        self.on = {r: r not in without for r in RULES}

    @staticmethod
    def init():
        #       D            W            S            P      M        X  C     K            (values, crashes, runs)
        return (frozenset(), frozenset(), frozenset(), None, (0, ()), (0, ()), None, frozenset(), (0, 0, 0))

    # ---- one opening of the engine: what does it find?

    def scan(self, s, cut):
        """The volume after a scan: {rev: value}; of two groups with the same rev the first counts."""
        D, W, S, P, M, X, C, K, n = s
        seals = dict(S)
        there = {(f, p): (r, v) for f, p, r, v in D}
        there.update({(f, p): (r, v) for f, p, r, v, landed in W if landed})
        found = dict(enumerate(cut[1]))
        stored = len(cut[1])
        for f in sorted({f for f, _ in there} | set(seals)):
            p = 0
            while p < POS:
                if self.on['seal'] and f in seals and p >= seals[f]:
                    break
                if (f, p) not in there:
                    if self.on['cut']:
                        break
                    p += 1
                    continue
                r, v = there[(f, p)]
                if r >= stored:
                    found.setdefault(r, v)
                p += 1
        return found, there

    def open(self, s, cut):
        D, W, S, P, M, X, C, K, n = s
        found, there = self.scan(s, cut)
        runs = n[2]
        end = {}
        for f, p in there:
            end[f] = max(end.get(f, 0), p + 1)
        if self.on['reflush']:
            D = D | {(f, p, r, v) for f, p, r, v, landed in W if landed}
            W = frozenset(w for w in W if not w[4])
        old = runs - 1
        if runs and old not in dict(S):
            p = 0
            while (old, p) in there:
                p += 1
            S = S | {(old, p)}
        file, pos = (runs, 0) if self.on['newfile'] or not runs else (old, end.get(old, 0))
        top = max(found, default=-1) + 1
        P = (file, pos, top, tuple(found.get(r) for r in range(top)), top)  # file, pos, next rev, state, durable
        # What was found is served to readers at once: it is a promise from now on.
        return D, W, S, P, M, cut, C, K | set(found.items()), (n[0], n[1], runs + 1)

    # ---- steps

    def steps(self, s):
        D, W, S, P, M, X, C, K, n = s
        values, crashes, runs = n
        for w in W:
            if not w[4]:
                yield f'group {w[:4]} reaches the disk', (D, W - {w} | {w[:4] + (True,)}, S, P, M, X, C, K, n)
        if C:
            version, body, _ = C
            if version == M[0] + 1:
                yield f'the swap to version {version} lands', (D, W, S, P, (version, body), X, None if not P else (version, body, 'landed'), K, n)
            yield 'the swap is lost', (D, W, S, P, M, X, None if not P else (version, body, 'lost'), K, n) if C[2] == 'sent' else s
        if P is None:
            if runs < CRASHES + 1:
                yield 'opened', self.open(s, M)  # an index behind the manifest catches up
                if X[0] < M[0]:
                    yield 'opened while the store is away', self.open(s, X)
            return
        file, pos, rev, state, durable = P
        if crashes < CRASHES:
            late = None if C is None else (C if C[2] == 'sent' else None)
            c = (values, crashes + 1, runs)
            yield 'kill -9', (D, W, S, None, M, X, late, K, c)
            for keep in subsets([w for w in W]):
                yield f'power cut, of {len(W)} groups {len(keep)} stay', (
                    D | {w[:4] for w in keep}, frozenset(), S, None, M, X, late, K, c)
        if rev < REVS and pos < POS and values < REVS + 1:
            yield f'write {rev} = {values} goes to {file}/{pos}', (
                D, W | {(file, pos, rev, values, False)}, S,
                (file, pos + 1, rev + 1, state + (values,), durable), M, X, C, K, (values + 1, crashes, runs))
        mine = [w for w in W if w[0] == file and w[2] >= durable]
        if mine and all(w[4] for w in mine):
            D2 = D | {w[:4] for w in W if w[4]} if self.on['flush'] else D
            W2 = frozenset(w for w in W if not w[4]) if self.on['flush'] else W
            yield f'writes below {rev} are flushed and acked', (
                D2, W2, S, (file, pos, rev, state, rev), M, X, C, K | set(enumerate(state[:rev])), n)
        if C is None and durable > len(M[1]):
            yield f'round below {durable} uploaded, swap sent', (
                D, W, S, P, M, X, (M[0] + 1, state[:durable], 'sent'), K, n)
        if C and C[2] == 'landed':
            yield 'swap settled: mine', (D, W, S, P, M, X, C[:2] + ('settled',), K, n)
        if C and C[2] == 'lost':
            if self.on['settle']:
                yield 'swap settled: unchanged', (D, W, S, P, M, X, None, K, n)
            else:
                yield 'swap believed', (D, W, S, P, M, X, C[:2] + ('settled',), K, n)
        if C and C[2] == 'settled':
            yield 'index applied, files may go', self.recycle((D, W, S, P, M, C[:2], None, K, n), len(C[1]))
            if not self.on['index']:
                yield 'files go before the index', self.recycle(s, len(C[1]))
        if not self.on['recycle'] and durable:
            yield 'files go before the swap', self.recycle(s, durable)

    @staticmethod
    def recycle(s, below):
        """Older files whose groups all lie below, and the records of the newest, are needed no more."""
        D, W, S, P, M, X, C, K, n = s
        needed = {d[0] for d in D if d[2] >= below} | {w[0] for w in W if w[2] >= below}
        gone = {d[0] for d in D} - needed - {P[0]}
        return (frozenset(d for d in D if d[0] not in gone), W, frozenset(x for x in S if x[0] not in gone or x[0] >= n[2] - 1),
                P, M, X, C, K, n)

    # ---- promises

    def broken(self, s):
        D, W, S, P, M, X, C, K, n = s
        by_rev = {}
        for r, v in sorted(K):
            if by_rev.setdefault(r, v) != v:
                return f'P3: write {r} was given to readers as {by_rev[r]} and as {v}'
        if P is None:
            return None
        file, pos, rev, state, durable = P
        for r, v in K:
            if r >= len(state) or state[r] != v:
                return f'P1: {r} = {v} was acked or read, this life has {state[r] if r < len(state) else "nothing"}'
        if None in state:
            return f'P2: {state.index(None)} is missing before others'
        if X[0] > M[0]:
            return f'P5: the index is at version {X[0]}, the store at {M[0]}'
        return None


def subsets(items):
    for mask in range(1 << len(items)):
        yield [x for i, x in enumerate(items) if mask >> i & 1]


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:], __doc__, RULES, [Model], 3_000_000))
