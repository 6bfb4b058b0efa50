/** Shells and interpreters under a clock, and the programs that they start. */
import { testProgram } from "./programs-table.ts";

/** `date` with all its digits, as a child of something. */
const DATE = "date -u '+realtime %s.%N'";

testProgram({
	name: "bash",
	needs: ["bash", "date"],
	command: () => [
		"bash",
		"-c",
		[
			"printf 'coarse %(%s)T\\n' -1",
			"printf 'coarse %(%Y-%m-%dT%H:%M:%SZ)T\\n' -1",
			"echo realtime $EPOCHREALTIME",
			"echo coarse $EPOCHSECONDS",
			DATE,
			`(${DATE})`,
			`echo "$(${DATE})" | cat`,
			`bash -c 'echo realtime $EPOCHREALTIME'`,
			"echo realtime $EPOCHREALTIME",
		].join("\n"),
	],
	readings: 9,
});

testProgram({
	name: "date",
	needs: ["date"],
	command: () => ["date", "-u", "+realtime %s.%N%nrealtime %Y-%m-%dT%H:%M:%S.%NZ"],
	readings: 2,
});

testProgram({
	name: "perl",
	needs: ["perl", "date"],
	command: () => [
		"perl",
		"-MTime::HiRes=clock_gettime,CLOCK_MONOTONIC",
		"-MPOSIX=strftime",
		"-e",
		[
			"$| = 1;",
			'printf "coarse %d\\n", time;',
			'printf "coarse %s\\n", strftime("%Y-%m-%dT%H:%M:%SZ", gmtime);',
			'printf "realtime %d.%06d\\n", Time::HiRes::gettimeofday;',
			'printf "realtime %d\\n", Time::HiRes::time;',
			// A double holds the microseconds of this clock exactly enough to cut, not to round.
			'printf "monotonic %d.%03d\\n", int $_, int(1000 * ($_ - int $_)) for clock_gettime(CLOCK_MONOTONIC);',
			`system "${DATE}";`,
		].join("\n"),
	],
	readings: 6,
});

testProgram({
	name: "python3",
	needs: ["python3", "date"],
	command: () => [
		"python3",
		"-c",
		[
			"import math, subprocess, sys, threading, time",
			"from datetime import datetime, timezone",
			"def show(clock, ns): print(clock, '%d.%09d' % divmod(ns, 10**9), flush=True)",
			"def read():",
			"  show('realtime', time.time_ns())",
			"  show('realtime', time.clock_gettime_ns(time.CLOCK_REALTIME))",
			"  show('coarse', time.clock_gettime_ns(5))",
			"  show('monotonic', time.clock_gettime_ns(time.CLOCK_MONOTONIC))",
			"  show('monotonic', time.monotonic_ns())",
			"  show('monotonic-coarse', time.clock_gettime_ns(6))",
			"  show('boottime', time.clock_gettime_ns(time.CLOCK_BOOTTIME))",
			"  print('realtime', datetime.now(timezone.utc).isoformat(timespec='microseconds'), flush=True)",
			"  print('realtime', '%.3f' % (math.floor(time.time() * 1000) / 1000), flush=True)",
			"read()",
			"thread = threading.Thread(target=read)",
			"thread.start()",
			"thread.join()",
			"subprocess.run(['date', '-u', '+realtime %s.%N'], check=True)",
			`subprocess.run("${DATE}", shell=True, check=True)`,
			"subprocess.run([sys.executable, '-c', \"import time; print('realtime', '%d.%09d' % divmod(time.time_ns(), 10**9))\"], check=True)",
		].join("\n"),
	],
	readings: 21,
});

testProgram({
	name: "node",
	needs: ["date"],
	command: () => [
		process.execPath,
		"-e",
		[
			"const show = (clock, ns, digits) =>",
			"  console.log(clock, `${ns / 10n ** BigInt(digits)}.${String(ns % 10n ** BigInt(digits)).padStart(digits, '0')}`);",
			"show('realtime', BigInt(Date.now()), 3);",
			"console.log('realtime', new Date().toISOString());",
			"show('realtime', BigInt(Math.round(performance.timeOrigin * 1000)), 6);",
			"show('monotonic', process.hrtime.bigint(), 9);",
			"show('elapsed', BigInt(Math.floor(performance.now() * 1000)), 6);",
			`process.stdout.write(require('node:child_process').execSync("${DATE}"));`,
			"new (require('node:worker_threads').Worker)('console.log(`realtime ${new Date().toISOString()}`)', { eval: true });",
		].join("\n"),
	],
	readings: 7,
});
