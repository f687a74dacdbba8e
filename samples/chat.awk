# Chat of made-up people, the same for the same seed everywhere: one file for each room and day.
#
#	awk -v seed=1 -v rooms=60 -v lines=2000 -v dir=DIR -f samples/chat.awk
#
# Looks like the logs of an IRC channel: `[HH:MM] <nick> text`, joins and parts as `=== ...`. A few
# lines are empty, a few are long, a few hold bytes that are no UTF-8: real input is like that.

# Park and Miller's generator: exact in the doubles that every awk has.
function next_random(n)
{
	state = (state * 16807) % 2147483647
	return int(state / 2147483647 * n)
}

function pick(list, n)
{
	return list[1 + next_random(n)]
}

function sentence(n,    text)
{
	text = pick(word, n_word)
	while (--n > 0)
		text = text " " pick(word, n_word)
	return text
}

function line(minute,    clock, what)
{
	clock = sprintf("[%02d:%02d]", int(minute / 60) % 24, minute % 60)
	what = next_random(1000)
	if (what < 2)
		return ""
	if (what < 40)
		return "=== " pick(nick, n_nick) " has " (what % 2 ? "joined" : "left") " #" room
	if (what < 45)
		return clock " <" pick(nick, n_nick) "> " sentence(4) " \377\376 " sentence(3)
	if (what < 50)
		return clock " <" pick(nick, n_nick) "> " sentence(60 + next_random(120))
	if (what < 250)
		return clock " <" pick(nick, n_nick) "> " pick(nick, n_nick) ": " \
			sentence(1 + next_random(14))
	return clock " <" pick(nick, n_nick) "> " sentence(1 + next_random(18))
}

BEGIN {
	n_word = split("the a to it is that you and of in for on with this have not but what do can " \
		"if my so just be was there like get know how one when no yes why try install " \
		"kernel disk driver sound card network server client file folder update upgrade " \
		"broken works reboot config option terminal package source error boot partition " \
		"grub screen window monitor font mouse wifi router kein probl\303\250me " \
		"\303\274ber \346\227\245\346\234\254 http://example.org/paste/4711 thanks maybe " \
		"sure again still after before with\303\266ut snow firn glacier", word, " ")
	n_nick = split("ada linus grace ken dennis bjarne radia vint barbara edsger donald margaret " \
		"alan john frances tim guido larry yukihiro niklaus", nick, " ")
	state = seed % 2147483646 + 1
	for (r = 1; r <= rooms; r++) {
		room = pick(word, 20) "-" r
		gsub(/[^a-z0-9-]/, "", room)
		file = sprintf("%s/2024-%02d-%02d_%s.log", dir, 1 + r % 12, 1 + r % 28, room)
		n = int(lines / 2) + next_random(lines)
		for (i = 0; i < n; i++)
			print line(int(i * 1440 / n)) > file
		close(file)
	}
}
