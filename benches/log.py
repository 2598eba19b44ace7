#!/usr/bin/env python3
"""What a message log costs: our client against the sink, in turns without a log and with one; prints a markdown table.

  ./log.py              everything: CPU time, and instructions by callgrind
  ./log.py --rounds 9   more rounds

CPU is that of the client's thread and of the thread that writes, for each message; medians. Instructions are the
difference between a long and a short run, so that connecting does not count.
"""
import argparse, json, os, re, shutil, statistics, subprocess, tempfile, time
HERE = os.path.dirname(os.path.abspath(__file__))
TGT = os.environ.get("CARGO_TARGET_DIR", f"{HERE}/target")
PORT = "18977"
# Each below the bound of the log's queue: what is lost costs nothing.
CASES = {
    "publish QoS 1, 50,000 a second": ["--role", "pub", "--qos", "1", "--rate", "50000", "--count", "250000"],
    "publish QoS 0, 50,000 a second": ["--role", "pub", "--qos", "0", "--rate", "50000", "--count", "250000"],
    "publish QoS 1, as fast as can be": ["--role", "pub", "--qos", "1", "--count", "90000"],
    "receive QoS 1, as fast as can be": ["--role", "sub", "--qos", "1", "--count", "90000"],
}

def run(case, directory, wrap=()):
    command = [*wrap, f"{TGT}/release/e2e-log", "--port", PORT, *case]
    if directory:
        shutil.rmtree(directory, ignore_errors=True)
        command += ["--log", directory]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    assert result["complete"] and not result["lost"], result
    return result

def instructions(directory):
    """Of the client's thread and of the writer, for each message published at QoS 1."""
    totals = []
    for count in ("20000", "60000"):
        with tempfile.TemporaryDirectory() as out:
            case = ["--role", "pub", "--rate", "50000", "--count", count]
            run(case, directory, ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}/c"])
            threads = sorted(f for f in os.listdir(out) if re.fullmatch(r"c-\d+", f))
            read = lambda f: int(re.search(r"^totals: (\d+)", open(f"{out}/{f}").read(), re.M)[1])
            totals.append([read(f) for f in threads])
    return [(long - short) / 40_000 for short, long in zip(*totals)]

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    subprocess.run(["cargo", "build", "--release", "-q", "-p", "e2e-log", "-p", "e2e-sink"], check=True, cwd=HERE,
                   env=dict(os.environ, CARGO_TARGET_DIR=TGT))
    sink = subprocess.Popen([f"{TGT}/release/e2e-sink", "--port", PORT, "--seconds", "1200"])
    home = tempfile.mkdtemp()
    try:
        time.sleep(0.3)
        print("| | client without, µs | client with, µs | more | writer, µs |\n|---|---:|---:|---:|---:|")
        for name, case in CASES.items():
            turns = [(run(case, None), run(case, f"{home}/log")) for _ in range(rounds)]
            median = lambda side, key: statistics.median(turn[side][key] for turn in turns)
            without, with_log = median(0, "client_us"), median(1, "client_us")
            print(f"| {name} | {without:.2f} | {with_log:.2f} | {with_log / without - 1:.0%} | {median(1, 'writer_us'):.2f} |",
                  flush=True)
        (without,), (with_log, writer) = instructions(None), instructions(f"{home}/log")
        print(f"\nInstructions, publish QoS 1, 50,000 a second: client {without:,.0f} without, {with_log:,.0f} with; "
              f"writer {writer:,.0f}")
    finally:
        sink.terminate()
        sink.wait()
        shutil.rmtree(home, ignore_errors=True)

if __name__ == "__main__":
    main()
