#!/usr/bin/env python3
"""Session bench: build, count instructions and allocations for each message (callgrind), print a markdown table.

  ./session.py            everything, results in out/session/
  ./session.py --no-run   only print again what is in out/session/
  ./session.py --check    fail if a goal is not met

Time: cargo bench -p own --bench session
"""
import json, os, subprocess, sys
HERE = os.path.dirname(os.path.abspath(__file__))
TGT = os.environ.get("CARGO_TARGET_DIR", f"{HERE}/target")
OUT = f"{HERE}/out/session"
RESULTS = f"{OUT}/count.jsonl"
VERSIONS = ("5.0", "3.1.1")
# Instructions for each message in batches of 100. More load may cost a little where a hash table fills up, never more.
GOALS = {"publish QoS 1": 1000, "receive QoS 1": 800}
ALLOWED_BY_LOAD = 1.05

def run():
    os.makedirs(OUT, exist_ok=True)
    subprocess.run(["cargo", "build", "--release", "-q", "-p", "own", "--bin", "session-count"], check=True, cwd=HERE,
                   env=dict(os.environ, CARGO_TARGET_DIR=TGT))
    dump = f"{OUT}/callgrind.out"
    if os.path.exists(dump):
        os.remove(dump)
    with open(f"{OUT}/callgrind.log", "w") as log:
        lines = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=session_count::counted*",
             "--dump-after=session_count::case_done*", "--combine-dumps=yes", f"--callgrind-out-file={dump}",
             f"{TGT}/release/session-count"], check=True, stdout=subprocess.PIPE, stderr=log, text=True).stdout
    with open(dump) as f:
        sums = [int(line.split()[1]) for line in f if line.startswith("summary:")]
    os.remove(dump)
    with open(RESULTS, "w") as f:
        for line, total in zip(lines.splitlines(), sums):
            case = json.loads(line)
            f.write(json.dumps(dict(case, instructions=total / case["messages"])) + "\n")

def load():
    """By what is measured, in the order of the run, then by version."""
    cases = {}
    for line in open(RESULTS):
        case = json.loads(line)
        key = (case["exchange"], case["batch"], case["in_flight"], case["subscriptions"])
        cases.setdefault(key, {})[case["version"]] = case
    return cases

def describe(batch, in_flight, subscriptions):
    words = ["one by one" if batch == 1 else f"batches of {batch}"]
    words += [f"{in_flight:,} in flight"] if in_flight else []
    words += [f"{subscriptions:,} subscriptions"] if subscriptions else []
    return ", ".join(words)

def goal(cases, key):
    """What this row may take in each version, or None."""
    exchange, batch, in_flight, subscriptions = key
    if batch == 1:
        return None
    if in_flight or subscriptions:
        alone = cases[(exchange, batch, 0, 0)]
        return {version: alone[version]["instructions"] * ALLOWED_BY_LOAD for version in VERSIONS}
    return dict.fromkeys(VERSIONS, GOALS[exchange]) if exchange in GOALS else None

def table(cases):
    met = True
    rows = ["| | goal | 5.0 | 3.1.1 | met | allocations |", "|---|---:|---:|---:|---|---:|"]
    for key, by_version in cases.items():
        exchange, *load = key
        counts = [by_version[version]["instructions"] for version in VERSIONS]
        allocations = max(by_version[version]["allocations"] for version in VERSIONS)
        wanted, words, verdict = goal(cases, key), "", ""
        if wanted:
            kept = allocations == 0 and all(by_version[v]["instructions"] <= wanted[v] for v in VERSIONS)
            words = f"{GOALS[exchange]:,}" if load[1:] == [0, 0] else "as without"
            verdict = "yes" if kept else "**no**"
            met &= kept
        rows.append(f"| {exchange}, {describe(*load)} | {words} | {counts[0]:,.0f} | {counts[1]:,.0f} "
                    f"| {verdict} | {allocations:.2f} |")
    return "\n".join(rows), met

if __name__ == "__main__":
    if "--help" in sys.argv or "-h" in sys.argv:
        print(__doc__)
        sys.exit()
    if "--no-run" not in sys.argv:
        run()
    text, met = table(load())
    print("Instructions and allocations for each message.\n")
    print(text)
    if "--check" in sys.argv and not met:
        sys.exit("a goal is not met")
