"""What the models share: every state that can be reached, breadth first, and the command line."""
from collections import deque


def explore(model, limit):
    first = model.init()
    came = {first: None}
    queue = deque([first])
    while queue:
        s = queue.popleft()
        for label, t in model.steps(s):
            if t in came:
                continue
            came[t] = (s, label)
            why = model.broken(t)
            if why:
                path = [label]
                while came[s]:
                    s, step = came[s]
                    path.append(step)
                return len(came), why, path[::-1]
            queue.append(t)
        if len(came) > limit:
            raise SystemExit(f'more than {limit} states: the bounds are too wide')
    return len(came), None, []


def main(args, doc, rules, makes, limit):
    """Each of `makes` makes a model without the rules that are named; it has no more than `limit` states."""
    if args == ['--rules']:
        for rule, text in rules.items():
            print(f'{rule:10}{text}')
        return 0
    if any(a not in rules for a in args):
        print(doc)
        return 2
    total = 0
    for make in makes:
        n, why, path = explore(make(without=args), limit)
        total += n
        if why:
            break
    else:
        print(f'{total} states, no promise broken' + (f'; without {", ".join(args)}' if args else ''))
        return 0
    print(f'{why}; after {total} states, in {len(path)} steps:')
    for step in path:
        print('   ', step)
    return 1
