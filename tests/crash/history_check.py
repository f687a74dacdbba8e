#!/usr/bin/env python3
"""Checks what processes that took a volume over from one another saw. Knows nothing of the engine: only these logs.

    history_check.py [--takeovers N] LOG...     0: the history is one that the promises allow
    history_check.py --self-test                every kind of wrong history is found, a right one is not

A line is an event; times are nanoseconds of one monotonic clock, T before a call and after its return. A run is a
process from its start to its end, an id a write, never used twice. `*`: any number of these. A line ends in ` .`: one that
does not was cut by a kill -9, and is passed over: it says what nobody had asked for or been told yet.

    attach T T run epoch n_lost       it is the writer
    req    T run id room *            about to ask for a write: one append to each of these rooms, and a key = id
    ack    T run id rev offset *      acked, in the order of its rooms
    unknown T run id                  it may be there or not (FIRN_EUNKNOWN)
    no     T run id                   refused: it is nowhere
    fenced T run                      its first FIRN_EFENCED
    read   T T run room from next end offset:id:rev:epoch *
                                      [from, next) of a room by the writer; end: `tail` if next was the end, else `part`
    cut    T T run rev_stored id rev  what an engine that only looks saw stored; of the key: id, rev (0 0: no key)
    part   run room from next offset:id:rev:epoch *      of the cut before it; next is its end
    leave  T T run                    all stored and detached
    kind   T name run                 how that run came to the volume; `first`, `final`, `clean`, `killed` ...
    wrong  text                       the process itself saw something wrong

What is checked, by promise:

    P1  a tail read holds all that was acked before it began, to writers up to its own number; the final one everything
    P2  reads are dense; an id has one offset in a room; no refused and no unasked write is seen
    P3  an offset has one id, one rev and one writer for ever; what was read once is not gone from a later tail read
    P4  nothing is acked that was asked for when a later writer had attached; writers' numbers rise; who is fenced has a
        successor; the acks of a run carry its number wherever they are read
    P5  no attach gives anything up, no read fails
    P10 a cut ends at one write over all rooms and the key; cuts only grow; what was drained is in the next one
    and in real time: of two writes, of which one was acked before the other was asked for, the revs and offsets tell so
"""
import bisect
import sys
from collections import defaultdict


class Wrong(Exception):
    """A promise was broken; the text says which and where."""


def expect(truth, promise, text, *args):
    if not truth:
        raise Wrong(promise + ': ' + text % args)


def records(words):
    return [tuple(int(n) for n in word.split(':')) for word in words]


class History:
    def __init__(self):
        self.attach, self.run_epoch = [], {}
        self.req, self.ack, self.no = {}, {}, {}
        self.fenced, self.read, self.cut, self.leave, self.kind = [], [], [], [], []

    def add(self, line):
        w = line.split()
        what = w[0]
        if what == 'wrong':
            raise Wrong('P5: ' + line.strip())
        getattr(self, 'on_' + what)(w[1:])

    def on_attach(self, w):
        t0, t1, run, epoch, n_lost = map(int, w)
        expect(n_lost == 0, 'P5', 'the attach of run %d gave up %d ranges', run, n_lost)
        expect(run not in self.run_epoch, 'P4', 'run %d attached twice', run)
        self.attach.append((t0, t1, run, epoch))
        self.run_epoch[run] = epoch

    def on_req(self, w):
        t, run, i, *rooms = map(int, w)
        expect(i not in self.req, 'P2', 'write %d was asked for twice', i)
        self.req[i] = (t, run, rooms)

    def on_ack(self, w):
        t, run, i, rev, *offsets = map(int, w)
        expect(i in self.req and i not in self.ack, 'P2', 'write %d is acked without or beyond a request', i)
        self.ack[i] = (t, run, rev, offsets)

    def on_unknown(self, w):
        pass  # a request without an ack is just that

    def on_no(self, w):
        self.no[int(w[2])] = int(w[0])

    def on_fenced(self, w):
        self.fenced.append((int(w[0]), int(w[1])))

    def on_read(self, w):
        t0, t1, run, room, at, after = map(int, w[:6])
        self.read.append((t0, t1, run, room, at, after, w[6] == 'tail', records(w[7:])))

    def on_cut(self, w):
        t0, t1, run, rev, i, i_rev = map(int, w)
        self.cut.append((t0, t1, run, rev, i, i_rev, []))

    def on_part(self, w):
        run, room, at, after = map(int, w[:4])
        mine = next(c for c in reversed(self.cut) if c[2] == run)
        mine[6].append((room, at, after, records(w[4:])))

    def on_leave(self, w):
        self.leave.append(tuple(map(int, w)))

    def on_kind(self, w):
        self.kind.append((int(w[0]), w[1], int(w[2])))


def check_writers(h):
    h.attach.sort()
    for a, b in zip(h.attach, h.attach[1:]):
        expect(b[3] > a[3], 'P4', 'run %d is writer %d, after run %d, which is %d', b[2], b[3], a[2], a[3])
    attached = {run: t1 for _, t1, run, _ in h.attach}
    for t, run in h.fenced:
        later = [a for a in h.attach if a[3] > h.run_epoch[run] and a[0] < t]
        expect(later, 'P4', 'run %d was fenced, but nobody took its volume', run)
    for i, (t, run, rev, _) in h.ack.items():
        epoch, asked = h.run_epoch.get(run), h.req[i][0]
        expect(epoch is not None and attached[run] <= asked, 'P4', 'run %d acks before it attached', run)
        expect(h.req[i][1] == run, 'P4', 'write %d of run %d is acked by run %d', i, h.req[i][1], run)
    # The earliest moment from which on somebody with a higher number was the writer.
    ends, soonest = {}, None
    for _, t1, run, _ in sorted(h.attach, key=lambda a: -a[3]):
        ends[run] = soonest
        soonest = t1 if soonest is None else min(soonest, t1)
    for i, (_, run, _, _) in h.ack.items():
        expect(ends[run] is None or h.req[i][0] < ends[run], 'P4',
               'write %d was asked for when run %d had lost the volume, and acked', i, run)


def check_values(h):
    """One id, rev and writer for each offset, one offset for each id: over acks and all reads."""
    value, place, rev_of = {}, {}, {}

    def seen(room, offset, i, rev, epoch, who):
        expect(i in h.req and room in h.req[i][2], 'P2', '%s saw a write nobody asked for: %d', who, i)
        expect(i not in h.no, 'P2', '%s saw write %d, which was refused', who, i)
        was = value.setdefault((room, offset), (i, rev, epoch))
        expect(was == (i, rev, epoch), 'P3', 'offset %d of room %d was %s, and is %s', offset, room, was,
               (i, rev, epoch))
        expect(place.setdefault((room, i), offset) == offset, 'P2', 'write %d is at two offsets of room %d', i, room)
        expect(rev_of.setdefault(i, rev) == rev, 'P10', 'write %d has two revs', i)
        writer = h.run_epoch.get(h.req[i][1])
        expect(writer == epoch, 'P4', 'write %d of writer %s is said to be of %d', i, writer, epoch)

    for i, (_, run, rev, offsets) in h.ack.items():
        expect(len(offsets) == len(h.req[i][2]), 'P1', 'write %d: not all of it is acked', i)
        for room, offset in zip(h.req[i][2], offsets):
            seen(room, offset, i, rev, h.run_epoch[run], 'an ack')
    for t0, t1, run, room, at, after, _, got in h.read:
        check_dense(run, room, at, after, got)
        for offset, i, rev, epoch in got:
            seen(room, offset, i, rev, epoch, 'run %d' % run)
            expect(h.req[i][0] < t1, 'P2', 'write %d was read before it was asked for', i)
    for _, _, run, _, _, _, parts in h.cut:
        for room, at, after, got in parts:
            check_dense(run, room, at, after, got)
            for offset, i, rev, epoch in got:
                seen(room, offset, i, rev, epoch, 'run %d' % run)
    by_rev = defaultdict(set)
    for i, rev in rev_of.items():
        by_rev[rev].add(i)
    expect(all(len(ids) == 1 for ids in by_rev.values()), 'P10', 'two writes have one rev')
    for room in {room for room, _ in value}:
        revs = [v[1] for k, v in sorted(value.items()) if k[0] == room]
        expect(revs == sorted(revs), 'P3', 'revs of room %d do not rise with its offsets', room)
    return value, rev_of


def check_dense(run, room, at, after, got):
    offsets = [r[0] for r in got]
    expect(offsets == list(range(at, after)), 'P2', 'run %d read [%d, %d) of room %d and got %s', run, at, after, room,
           offsets[:3] + ['...'] + offsets[-3:])


def check_tails(h):
    """What must be there when a tail read begins: acked to, or read by, a writer up to its own number."""
    known = defaultdict(list)  # room -> (time, writer's number, end)
    for i, (t, run, _, offsets) in h.ack.items():
        for room, offset in zip(h.req[i][2], offsets):
            known[room].append((t, h.run_epoch[run], offset + 1))
    for _, t1, run, room, _, after, _, _ in h.read:
        known[room].append((t1, h.run_epoch[run], after))
    for room in known:
        known[room].sort()
    reads = sorted(r for r in h.read if r[6])
    at, most = defaultdict(int), defaultdict(dict)  # room -> writer -> end
    for t0, _, run, room, _, after, _, _ in reads:
        while at[room] < len(known[room]) and known[room][at[room]][0] < t0:
            _, epoch, end = known[room][at[room]]
            most[room][epoch] = max(end, most[room].get(epoch, 0))
            at[room] += 1
        mine = h.run_epoch[run]
        must = max((end for epoch, end in most[room].items() if epoch <= mine), default=0)
        expect(after >= must, 'P1', 'run %d found room %d to end at %d; acked or read before: up to %d', run, room, after,
               must)


def check_final(h):
    final = [run for _, name, run in h.kind if name == 'final']
    expect(len(final) == 1, 'P1', 'there is no final reader')
    there = defaultdict(dict)
    for _, _, run, room, _, _, _, got in h.read:
        if run == final[0]:
            there[room].update({r[1]: r[0] for r in got})
    for i, (_, run, _, offsets) in h.ack.items():
        for room, offset in zip(h.req[i][2], offsets):
            expect(there[room].get(i) == offset, 'P1', 'write %d, acked at offset %d of room %d by run %d, is not there', i,
                   offset, room, run)
    for i, (_, _, rooms) in h.req.items():
        n = sum(i in there[room] for room in rooms)
        expect(n in (0, len(rooms)), 'P10', 'write %d is in %d of its %d rooms', i, n, len(rooms))


def check_real_time(h):
    acks = sorted((t, rev) for t, _, rev, _ in h.ack.values())
    most, times = 0, []
    highest = []
    for t, rev in acks:
        most = max(most, rev)
        times.append(t)
        highest.append(most)
    for i, (_, _, rev, _) in h.ack.items():
        n = bisect.bisect_left(times, h.req[i][0])
        expect(not n or rev > highest[n - 1], 'real time', 'write %d has rev %d, but %d was acked before it was asked for',
               i, rev, highest[n - 1] if n else 0)


def check_cuts(h, rev_of):
    acked = sorted((rev, i) for i, (_, _, rev, _) in h.ack.items())
    for t0, _, run, rev, key, key_rev, parts in h.cut:
        newest = (0, 0)
        first, ids, end = {}, defaultdict(set), {}
        for room, at, after, got in parts:
            first[room], end[room] = (got[0][2] if got else None), after
            for _, i, i_rev, _ in got:
                expect(i_rev <= rev, 'P10', 'run %d: a cut at %d holds write %d of rev %d', run, rev, i, i_rev)
                ids[room].add(i)
                newest = max(newest, (i_rev, i))
        expect(newest == (key_rev, key), 'P10', 'run %d: the key in the cut at %d is of %s, the newest append %s', run, rev,
               (key_rev, key), newest)
        for room in ids:
            for i in ids[room]:
                for other in h.req[i][2]:
                    if first.get(other) is not None and rev_of[i] >= first[other]:
                        expect(i in ids[other], 'P10', 'run %d: write %d is in the cut of one room only', run, i)
        for i_rev, i in acked[:bisect.bisect_right(acked, (rev, float('inf')))][-500:]:
            for room, offset in zip(h.req[i][2], h.ack[i][3]):
                expect(offset < end.get(room, 0), 'P10', 'run %d: a cut at %d lacks acked write %d of rev %d', run, rev, i,
                       i_rev)
    events = [(t1, rev) for _, t1, _, rev, *_ in h.cut]
    for _, t1, run in h.leave:
        mine = [rev for t, r, rev, _ in h.ack.values() if r == run and t < t1]
        events.append((t1, max(mine, default=0)))
    events.sort()
    n, least = 0, 0
    for t0, _, run, rev, *_ in sorted(h.cut):
        while n < len(events) and events[n][0] < t0:
            least = max(least, events[n][1])
            n += 1
        expect(rev >= least, 'P10', 'run %d: a cut at %d after one at, or a drain up to, %d', run, rev, least)


def check(h, takeovers=0):
    check_writers(h)
    _, rev_of = check_values(h)
    check_real_time(h)
    check_tails(h)
    check_final(h)
    check_cuts(h, rev_of)
    expect(len(h.attach) > takeovers, 'P4', '%d takeovers are not %d', len(h.attach) - 1, takeovers)


# ---- the self-test

GOOD = '''
kind 1 first 1
attach 10 20 1 1 0
req 21 1 101 0
req 22 1 102 0 1
ack 30 1 101 5 0
ack 31 1 102 6 1 0
read 32 33 1 0 0 2 tail 0:101:5:1 1:102:6:1
read 34 35 1 1 0 1 tail 0:102:6:1
req 36 1 103 1
ack 37 1 103 7 1
req 40 1 104 0
cut 41 42 9 6 102 6
part 9 0 0 2 0:101:5:1 1:102:6:1
part 9 1 0 1 0:102:6:1
kind 50 stopped 2
attach 51 60 2 2 0
read 61 62 2 0 0 2 tail 0:101:5:1 1:102:6:1
read 61 62 2 1 0 2 tail 0:102:6:1 1:103:7:1
unknown 63 1 104
fenced 63 1
req 64 1 105 0
no 65 1 105
req 66 2 201 0 1
ack 67 2 201 8 2 2
leave 68 70 2
cut 71 72 9 8 201 8
part 9 0 0 3 0:101:5:1 1:102:6:1 2:201:8:2
part 9 1 1 3 1:103:7:1 2:201:8:2
kind 80 final 3
attach 81 82 3 3 0
read 83 84 3 0 0 3 tail 0:101:5:1 1:102:6:1 2:201:8:2
read 83 84 3 1 0 3 tail 0:102:6:1 1:103:7:1 2:201:8:2
leave 85 86 3
'''

BAD = [  # the promise that is broken; line, what becomes of it (more lines with |; nothing: it goes)
    ('P1', 'read 83 84 3 1', 'read 83 84 3 1 0 2 tail 0:102:6:1 1:103:7:1'),  # an acked append is gone
    ('P1', 'read 61 62 2 1', 'read 61 62 2 1 0 1 tail 0:102:6:1'),  # ... for a while: the successor does not have it
    ('P1', 'read 83 84 3 0', ''),  # nobody looked
    ('P1', 'kind 80', 'kind 80 clean 3'),
    ('P1', 'ack 31', 'ack 31 1 102 6 1'),  # half of a write
    ('P2', 'read 83 84 3 0', 'read 83 84 3 0 0 3 tail 0:101:5:1 2:201:8:2'),  # a gap
    ('P2', 'read 83 84 3 0', 'read 83 84 3 0 0 4 tail 0:101:5:1 1:102:6:1 2:201:8:2 3:101:5:1'),  # twice
    ('P2', 'read 83 84 3 0', 'read 83 84 3 0 0 4 tail 0:101:5:1 1:102:6:1 2:201:8:2 3:105:9:1'),  # refused, but there
    ('P2', 'read 83 84 3 0', 'read 83 84 3 0 0 4 tail 0:101:5:1 1:102:6:1 2:201:8:2 3:999:9:2'),  # never asked for
    ('P2', 'read 32', 'read 32 33 1 0 0 3 tail 0:101:5:1 1:102:6:1 2:201:8:2'),  # read before it was asked for
    ('P2', 'ack 37', 'ack 37 1 103 7 1|ack 38 1 103 7 1'),  # acked twice
    ('P3', 'ack 67', 'ack 67 2 201 8 1 2'),  # an offset is given again
    ('P3', 'read 61 62 2 0', 'read 61 62 2 0 0 2 tail 0:102:6:1 1:101:5:1'),  # offsets changed their bytes
    ('P3', 'cut 71', 'cut 71 72 9 8 201 8|part 9 0 0 1 0:104:4:1'),
    ('P1', 'read 61 62 2 0', 'read 61 62 2 0 0 1 tail 0:101:5:1'),  # what was read and acked is not there
    ('P4', 'attach 51', 'attach 51 60 2 1 0'),  # two writers of one number
    ('P4', 'no 65', 'ack 65 1 105 9 3'),  # acked though asked for after the takeover
    ('P4', 'fenced 63', 'fenced 50 1'),  # fenced by nobody
    ('P4', 'req 66', 'req 66 1 201 0 1'),  # one writer acks what another was asked for
    ('P3', 'read 61 62 2 1', 'read 61 62 2 1 0 2 tail 0:102:6:1 1:103:7:2'),  # a record changes its writer
    ('P4', 'read 83 84 3 0', 'read 83 84 3 0 0 4 tail 0:101:5:1 1:102:6:1 2:201:8:2 3:104:9:2'),  # or has another
    ('P5', 'attach 51', 'attach 51 60 2 2 1'),  # something was given up
    ('P5', 'leave 85', 'leave 85 86 3|wrong the read failed'),
    ('P10', 'part 9 0 0 3', 'part 9 0 0 2 0:101:5:1 1:102:6:1'),  # half of a write is stored
    ('P10', 'part 9 1 0 1', 'part 9 1 0 2 0:102:6:1 1:103:7:1'),  # more than the cut says
    ('P10', 'cut 41', 'cut 41 42 9 6 101 5'),  # the key is older than the rooms
    ('P10', 'leave 85', 'leave 85 86 3|cut 87 88 9 6 102 6|part 9 0 0 2 0:101:5:1 1:102:6:1|part 9 1 0 1 0:102:6:1'),
    ('P10', 'cut 71', 'cut 71 72 9 8 201 8|part 9 0 0 3 0:101:5:1 1:102:6:1 2:201:8:2|part 9 1 0 1 0:102:6:1|'
     'cut 73 74 9 8 201 8'),  # acked, of a rev in the cut, and not in it
    ('P10', 'read 83 84 3 0', 'req 82 2 106 0 1|read 83 84 3 0 0 4 tail 0:101:5:1 1:102:6:1 2:201:8:2 3:106:9:2'),
    ('real time', 'ack 67', 'ack 35 2 201 8 2 2'),  # acked before 103 was asked for, of a higher rev
]


def parse(lines):
    h = History()
    for line in lines:
        if line.strip():
            h.add(line)
    return h


def broken(lines):
    try:
        check(parse(lines))
    except Wrong as wrong:
        return str(wrong)
    return None


def self_test():
    good = GOOD.strip().splitlines()
    assert broken(good) is None, broken(good)
    assert 'takeovers' in str(attempt(lambda: check(parse(good), 3)))
    for promise, line, becomes in BAD:
        at = [n for n, l in enumerate(good) if l.startswith(line + ' ')]
        assert len(at) == 1, line
        said = broken(good[:at[0]] + becomes.split('|') + good[at[0] + 1:])
        assert said is not None, 'not found: %s -> %s' % (line, becomes)
        ok = said.startswith(promise + ':')
        print('%s %-60s %s' % ('ok ' if ok else 'BAD', becomes or 'nobody looked', said))
        assert ok, promise
    print('%d wrong histories found' % len(BAD))


def attempt(call):
    try:
        call()
    except Wrong as wrong:
        return wrong
    return None


def main(args):
    takeovers = 0
    if args == ['--self-test']:
        return self_test()
    if args[:1] == ['--takeovers']:
        takeovers, args = int(args[1]), args[2:]
    h = History()
    try:
        for name in args:
            with open(name) as f:
                for line in f:
                    if line.endswith(' .\n'):  # the last one of a killed process may be cut
                        h.add(line[:-2])
        check(h, takeovers)
    except Wrong as wrong:
        print('WRONG %s' % wrong)
        return 1
    print('history: %d writers, %d writes asked for, %d acked, %d refused, %d fenced runs; %d reads of %d records; %d cuts'
          % (len(h.attach), len(h.req), len(h.ack), len(h.no), len(h.fenced), len(h.read),
             sum(len(r[7]) for r in h.read), len(h.cut)))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
