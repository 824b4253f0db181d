# tests/sel4.sh: what tests of the seL4 image have in common; sourced by them, in the repository's root, with their name
# in $me. It exits with success, and says so, where there is no kernel. A machine's serial line is $tmp/log one way and
# descriptor 3 the other.
# shellcheck shell=sh
prefix=${SEL4_PREFIX:-/opt/seL4}
[ -e "$prefix/bin/kernel.elf" ] || { echo "skipped: no seL4 at $prefix"; exit 0; }

tmp=$(mktemp -d "${TMPDIR:-/tmp}/coh-$me.XXXXXX")
machine=
cleanup() {
	status=$?
	trap - EXIT INT TERM
	[ -z "$machine" ] || kill "$machine" 2>/dev/null || true
	rm -rf "$tmp"
	exit $status
}
trap cleanup EXIT INT TERM
failed() {
	echo "$me: $1; the serial line said:" >&2
	cat "$tmp/log" >&2
	exit 1
}
# How many lines of the log are like it.
count() {
	tr -d '\r' <"$tmp/log" | grep -c -e "$1" || true
}
# Waits until the log has so many lines like it, at most five minutes: an emulated core may get little time.
await() {
	tries=0
	until [ "$(count "$1")" -ge "${2:-1}" ]; do
		tries=$((tries + 1))
		[ $tries -lt 3000 ] || failed "no line \`$1\`"
		sleep 0.1
	done
}
# Types a line and waits for its answer; with a number, for so many in all.
ask() {
	printf '%s\r' "$1" >&3
	await "$2" "${3:-1}"
}
# Types a line and waits for one more answer; prints it.
say() {
	again=$(($(count "$2") + 1))
	ask "$1" "$2" "$again"
	tr -d '\r' <"$tmp/log" | grep -e "$2" | sed -n "${again}p"
}
# Types a line each second until the log says so, as often as it is to be said.
insist() {
	tries=0
	until [ "$(count "$2")" -ge "${3:-1}" ]; do
		tries=$((tries + 1))
		[ $tries -lt 120 ] || failed "\`$1\` does not come to \`$2\`"
		printf '%s\r' "$1" >&3
		sleep 1
	done
}
# Boots the image of $OUT with arguments of sys/sel4/run, and waits for its console.
boot() {
	start "$@"
	await '^\[root\] console ready'
}
start() {
	mkfifo "$tmp/keys"
	: >"$tmp/log"
	sys/sel4/run --exit-after 1200 "$@" <"$tmp/keys" >"$tmp/log" 2>&1 &
	machine=$!
	exec 3>"$tmp/keys"
}
halt() {
	exec 3>&-
	kill "$machine" 2>/dev/null || true
	wait "$machine" 2>/dev/null || true
	machine=
	rm "$tmp/keys"
}
# A number of ports of 127.0.0.1 that are free now.
ports() {
	python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held))' "$1"
}
# What the processes have in use: a line for each, as `mem` says it.
used() {
	asked=$(count '^OK MEM ')
	printf 'mem\r' >&3
	tries=0
	until [ "$(tr -d '\r' <"$tmp/log" | awk '/^OK MEM/ { n++ } n && /^END/ { e[n] = 1 } END { print e[n] + 0, n + 0 }')" = "1 $((asked + 1))" ]; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || failed 'no answer to `mem`'
		sleep 0.1
	done
	tr -d '\r' <"$tmp/log" | awk '/^OK MEM/ { text = ""; on = 1; next } /^END/ { on = 0 } on { text = text $0 "\n" } END { printf "%s", text }'
}
# Of two files of `used`: each process has no more in use in the second than in the first and $3 KiB, and never had more
# than its heap.
as_before() {
	awk -v more="$3" '
		{ for (i = 2; i <= NF; i++) { split($i, f, "="); value[FILENAME, $1, f[1]] = f[2] } names[$1] = 1 }
		END {
			for (name in names) {
				before = value[ARGV[1], name, "used_kib"]; after = value[ARGV[2], name, "used_kib"]
				if (value[ARGV[2], name, "peak_kib"] > value[ARGV[2], name, "heap_kib"] || after > before + more) {
					print name ": " before " KiB before, " after " after, of " value[ARGV[2], name, "heap_kib"]; bad = 1
				}
			}
			exit bad
		}' "$1" "$2" >&2
}
