#!/usr/bin/env python3
"""A model of ownership: one volume, two engines with local WALs, swaps that land late, abandons, trims and salvage.

    python3 owner.py            every state: none breaks a promise
    python3 owner.py RULE       the same without one rule: the shortest history that breaks a promise; exit 1
    python3 owner.py --rules    the rules that can be taken out

What is modelled (engine/upload/attach.c, resume.c, abandon.c, detach.c): an engine writes an intent with a new nonce
into its WAL, then swaps the manifest; the swap may land late, also in its next life. It may resume what it had when it
died, while the store is away. Without the WAL that the manifest means it may take a volume that was detached clean, or
abandon: revs skip a range, which is lost. An engine that finds itself fenced puts what it still has aside. What lies
aside is put back into the range by whoever owns the volume then. A write is a value, or a trim of all before it; a
client whose write was not answered sends it once more to whom it finds, unless what was lost has been put back.

Promises: what was acked is stored, or in the WAL that the manifest leads to, or in a range that is declared lost (P1) and
then still somewhere (P5); a rev is one value for ever (P3), a value has one rev (P2), what a trim took stays gone (P9).

State: M manifest (version, nonce, clean, next rev, lost ranges, stored, start), E engines (nonce of the WAL, intents, right
to resume, records, aside, nonce and next rev of the index, process), C swaps on their way, K acked {(rev, value)},
U values that nobody answered, n (values, nonces, kills, trims, salvages)."""
import sys
from functools import partial

from explore import main

RULES = {
    'intent': 'an intent is flushed before its swap is sent',
    'swap': 'a swap lands only on the version that it was made from',
    'mine': 'a foreign nonce that is an older intent of one\'s own is not a fence',
    'detach': 'a record in the WAL ends the right to resume before the clean swap is sent',
    'lost': 'an abandon declares what is lost',
    'skip': 'the next write after an abandon lies above the range',
    'aside': 'what a fenced engine still has is put aside before its room is used again',
    'owner': 'only the owner puts back, by a swap',
    'range': 'a trim of the owner\'s holds for what is put back',
    'again': 'what a client sent again is not put back',
    'below': 'nor is what was put back before out of another range',
}
JUMP, AHEAD = 8, 3
# Twice over, as both at once are too many states: who owns, with kills; what is put back, and what was trimmed or sent again.
OWNING = {'values': 2, 'nonces': 3, 'kills': 1, 'swaps': 2, 'trims': 0, 'lost answers': 0, 'salvages': 0}
PUTTING_BACK = {'values': 1, 'nonces': 3, 'kills': 1, 'swaps': 1, 'trims': 1, 'lost answers': 1, 'salvages': 2}
TRIM = 't'
DOWN, IDLE, RESUMED = ('down',), ('idle',), ('resumed',)
NEW = (0, frozenset(), False, frozenset(), frozenset(), 0, 0, IDLE)


def put(t, i, x):
    return t[:i] + (x,) + t[i + 1:]


class Model:
    def __init__(self, bounds, without=()):
        self.most = bounds
        self.on = {r: r not in without for r in RULES}

    @staticmethod
    def init():
        man = (0, -1, True, 0, frozenset(), frozenset(), 0)
        return (man, (NEW, NEW), frozenset(), frozenset(), frozenset(), (0, 1, 0, 0, 0))

    def steps(self, s):
        yield from self.swaps(s)
        for i in (0, 1):
            proc = s[1][i][7]
            if proc == DOWN:
                yield f'{name(i)} starts again', self.to(s, i, proc=IDLE)
                continue
            if s[5][2] < self.most['kills']:
                yield f'{name(i)} is killed', self.to(s, i, proc=DOWN, n=put(s[5], 2, s[5][2] + 1))
            if proc == IDLE:
                yield from self.resume(s, i)
            if proc in (IDLE, RESUMED):
                yield from self.attach(s, i)
            if proc[0] in ('owner', 'resumed') or (proc[0] == 'sent' and proc[3] == RESUMED):
                yield from self.write(s, i)
            if proc[0] == 'owner':
                yield from self.commit(s, i)
                yield from self.salvage(s, i)
            if proc[0] == 'sent':
                yield from self.settle(s, i)

    @staticmethod
    def to(s, i, wal=None, intents=None, right=None, recs=None, aside=None, index=None, proc=None, **rest):
        """The state with parts of engine i, and of the world, changed."""
        M, E, C, K, U, n = s
        w, old, r, had, by, ln, lx, p = E[i]
        ln, lx = index if index is not None else (ln, lx)
        e = (w if wal is None else wal, old if intents is None else intents, r if right is None else right,
             had if recs is None else recs, by if aside is None else aside, ln, lx, p if proc is None else proc)
        return (rest.get('M', M), put(E, i, e), rest.get('C', C), rest.get('K', K), rest.get('U', U), rest.get('n', n))

    @staticmethod
    def end(e):
        return max([e[6]] + [r + 1 for r, v in e[3]])

    # ---- the store

    def swaps(self, s):
        M, E, C, K, U, n = s
        for c in C:
            i, on, man = c
            if on == M[0] or not self.on['swap']:
                yield f'{name(i)}\'s swap lands: {show(man)}', (put(man, 0, M[0] + 1), E, C - {c}, K, U, n)
            else:
                yield f'{name(i)}\'s swap comes too late', (M, E, C - {c}, K, U, n)

    def send(self, s, i, kind, man, back, **rest):
        M, C = s[0], s[2]
        nonce = man[1]
        return self.to(s, i, C=C | {(i, M[0], man)}, proc=('sent', kind, nonce, back, M[0]), **rest)

    # ---- one engine

    def resume(self, s, i):
        wal, intents, right, recs, aside, ln, lx, proc = s[1][i]
        if right and wal and wal == ln:
            yield f'{name(i)} resumes while the store is away', self.to(s, i, proc=RESUMED)

    def mine(self, s, i):
        wal, intents = s[1][i][:2]
        return wal != 0 and s[0][1] == wal or s[0][1] in intents

    def fenced(self, s, i):
        recs, aside = s[1][i][3:5]
        kept = aside | recs if self.on['aside'] else aside
        return self.to(s, i, right=False, recs=frozenset(), aside=kept, proc=IDLE)

    def attach(self, s, i):
        M, E, C, K, U, n = s
        version, nonce, clean, nxt, lost, stored, start = M
        wal, intents, right, recs, aside, ln, lx, proc = E[i]
        if n[1] > self.most['nonces'] or len(C) == self.most['swaps']:
            return
        how, own = 'its WAL', self.mine(s, i)
        if not own:
            if proc == RESUMED:
                yield f'{name(i)} finds that the volume was taken', self.fenced(s, i)
                return
            how = 'a clean volume' if clean else 'abandon'
            if self.on['aside']:
                aside = aside | recs
            recs = frozenset()
            if not clean:
                lost = lost | {(nxt, nxt + JUMP)} if self.on['lost'] else lost
                nxt = nxt + JUMP if self.on['skip'] else nxt
        man = (version + 1, n[1], False, nxt, lost, stored, start)
        yield f'{name(i)} attaches by {how}: intent {n[1]}', self.send(
            s, i, 'attach', man, proc, intents=intents | {n[1]} if self.on['intent'] else intents,
            right=right and own, recs=recs, aside=aside, n=put(n, 1, n[1] + 1))

    def write(self, s, i):
        M, E, C, K, U, n = s
        e = E[i]
        recs = e[3]
        rev = self.end(e)
        if rev >= e[6] + AHEAD:
            return
        if n[0] < self.most['values']:
            new = self.to(s, i, recs=recs | {(rev, n[0])}, n=put(n, 0, n[0] + 1))
            yield f'{name(i)} acks {rev} = {n[0]}', put(new, 3, K | {(rev, n[0])})
            if len(U) < self.most['lost answers']:
                yield f'{name(i)} has {rev} = {n[0]}, its answer is lost', put(new, 4, U | {n[0]})
        if n[3] < self.most['trims']:
            new = self.to(s, i, recs=recs | {(rev, TRIM)}, n=put(n, 3, n[3] + 1))
            yield f'{name(i)} acks {rev}: a trim of all before it', put(new, 3, K | {(rev, TRIM)})
        known = {v: r for r, v in e[3] | M[5]}
        for v in U:
            if n[4]:  # nobody sends again what was put back: its window is over
                continue
            if v in known and (known[v] < e[6] or (known[v], v) in recs):
                yield f'{name(i)} is sent {v} again and knows it', put(put(s, 3, K | {(known[v], v)}), 4, U - {v})
            else:
                new = self.to(s, i, recs=recs | {(rev, v)})
                yield f'{name(i)} is sent {v} again: {rev} = {v}', put(put(new, 3, K | {(rev, v)}), 4, U - {v})

    def commit(self, s, i):
        M, E, C, K, U, n = s
        version, nonce, clean, nxt, lost, stored, start = M
        wal, intents, right, recs, aside, ln, lx, proc = E[i]
        if len(C) == self.most['swaps']:
            return
        if proc[1] != version:
            if not self.mine(s, i):
                yield f'{name(i)} finds that the volume was taken', self.fenced(s, i)
            return
        if recs:
            start = max([start] + [r for r, v in recs if v == TRIM])
            man = (version + 1, wal, False, self.end(E[i]), lost, frozenset(x for x in stored | recs if x[0] >= start), start)
            yield f'{name(i)} commits', self.send(s, i, 'commit', man, proc)
        else:
            man = (version + 1, wal, True, lx, lost, stored, start)
            yield f'{name(i)} detaches', self.send(s, i, 'clean', man, proc, right=right and not self.on['detach'])

    def salvage(self, s, i):
        M, E, C, K, U, n = s
        version, nonce, clean, nxt, lost, stored, start = M
        wal, intents, right, recs, aside, ln, lx, proc = E[i]
        if n[4] == self.most['salvages'] or len(C) == self.most['swaps']:
            return
        for left in {E[0][4], E[1][4]}:
            back = {(r, v) for r, v in left - stored if v != TRIM and any(a <= r < b for a, b in lost)}
            if self.on['range']:
                back = {(r, v) for r, v in back if r >= max([start] + [r for r, v in recs if v == TRIM])}
            if self.on['again']:
                low = min([r for r, v in back], default=0)
                there = {v for r, v in stored | recs if self.on['below'] or r >= low}
                back = {(r, v) for r, v in back if v not in there}
            if back:
                yield from self.put_back(s, i, back)

    def put_back(self, s, i, back):
        M, E, C, K, U, n = s
        version, nonce, clean, nxt, lost, stored, start = M
        wal, proc = E[i][0], E[i][7]
        n = put(n, 4, n[4] + 1)
        man = (version + 1, wal, False, nxt, lost, stored | back, start)
        if not self.on['owner']:
            yield f'somebody puts back {sorted(back)}', (put(put(M, 5, stored | back), 6, start), E, C, K, U, n)
        if proc[1] == version:
            yield f'{name(i)} puts back {sorted(back)}', self.send(s, i, 'commit', man, proc, n=n)

    def settle(self, s, i):
        """By a GET: what became of the swap that was sent?"""
        M, E, C, K, U, n = s
        version, nonce, clean, nxt, lost, stored, start = M
        wal, intents, right, recs, aside, ln, lx, proc = E[i]
        word, kind, sent, back, on = proc
        if version == on:
            return
        left = frozenset(x for x in recs if x[0] >= nxt)
        if kind == 'attach' and nonce == sent and not clean:
            yield f'{name(i)} has attached, next rev {self.end((0, 0, 0, left, 0, 0, nxt))}', self.to(
                s, i, wal=sent, intents=frozenset(), right=True, recs=left, index=(sent, nxt), proc=('owner', version))
        elif kind == 'commit' and nonce == sent and not clean:
            yield f'{name(i)} has committed', self.to(s, i, recs=left, index=(wal, nxt), proc=('owner', version))
        elif kind == 'clean' and nonce == sent and clean:
            yield f'{name(i)} has detached', self.to(s, i, index=(wal, nxt), proc=IDLE,
                                                    right=right and not self.on['detach'])
        elif self.mine(s, i) and self.on['mine']:
            yield f'{name(i)} finds an older swap of its own and begins anew', self.to(
                s, i, proc=back if back in (IDLE, RESUMED) else IDLE)
        else:
            yield f'{name(i)} finds that the volume was taken', self.fenced(s, i)

    # ---- promises

    def broken(self, s):
        M, E, C, K, U, n = s
        version, nonce, clean, nxt, lost, stored, start = M
        by_rev = {}
        for r, v in sorted(K, key=str):
            if by_rev.setdefault(r, v) != v:
                return f'P3: {r} was acked as {by_rev[r]} and as {v}'
        values = [v for r, v in stored if v != TRIM]
        if len(values) != len(set(values)):
            return f'P2: stored twice: {sorted(stored, key=str)}'
        gone = [x for x in stored if x[0] < start]
        if gone:
            return f'P9: {gone} is stored, and was trimmed: the start is {start}'
        led = [e for e in E if nonce == e[0] or nonce in e[1]]
        for r, v in K - stored:
            if any(a <= r < b for a, b in lost):
                if v != TRIM and r >= start and not any((r, v) in e[3] | e[4] for e in E):
                    return f'P5: {r} = {v} is lost, and nothing is left to be put back'
            elif start <= r < nxt:
                return f'P1: {r} = {v} was acked and is not stored, below {nxt}'
            elif r >= nxt and (clean or not any((r, v) in e[3] for e in led)):
                return f'P1: {r} = {v} was acked, and the manifest (nonce {nonce}, clean {clean}) leads to no place that has it'
        return None


def name(i):
    return 'AB'[i]


def show(man):
    version, nonce, clean, nxt, lost, stored, start = man
    return f'nonce {nonce}, {"clean" if clean else "dirty"}, next rev {nxt}' + (f', lost {sorted(lost)}' if lost else '')


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:], __doc__, RULES, [partial(Model, OWNING), partial(Model, PUTTING_BACK)], 2_000_000))
