#!/usr/bin/env python3
"""Durable publishing at QoS 1: our client with mqtt-store beside paho with file persistence, and a bare append + fdatasync.

  ./store.py                    everything, results in out/store/
  ./store.py --no-run           only print again what is in out/store/
  ./store.py --alone            without paho
  ./store.py --no-memory        without recovery and memory
  ./store.py --rounds 9

All stores lie in out/store/, on one file system; every process is started, waited for and ended here.
"""
import argparse, json, os, shutil, signal, statistics, subprocess, sys, time
HERE = os.path.dirname(os.path.abspath(__file__))
TGT = os.environ.get("CARGO_TARGET_DIR", f"{HERE}/target")
OUT = f"{HERE}/out/store"
PORT = 18870
PAYLOAD = 64

ACCEPTED, OURS, BUFFERED, PAHO = "ours, Synced, until accepted", "ours, Synced", "ours, Buffered", "paho (C), files"
APPEND, OVERWRITE = "append + fdatasync", "overwrite + fdatasync"
CLIENTS = {  # name: program, arguments
    ACCEPTED: ("durable", ["--what", "accept"]),
    OURS: ("durable", []),
    BUFFERED: ("durable", ["--tune", "1"]),
    PAHO: ("paho", ["--role", "pub", "--qos", "1"]),
    APPEND: ("durable", ["--what", "append"]),
    OVERWRITE: ("durable", ["--what", "overwrite"]),
}
FLOORS = [APPEND, OVERWRITE]
IN_FLIGHT = 100   # while one caller has one message after another accepted
COUNTS = {1: 2_000, 100: 50_000, 1000: 50_000}
PAHO_COUNT = 4_000
MEMORY = [1_000, 1_000_000]
RECOVERED = 100_000

def build(alone):
    packages = ["sink", "durable"] + ([] if alone else ["paho"])
    subprocess.run(["cargo", "build", "--release", "-q", "--keep-going"] + [f"-pe2e-{p}" for p in packages],
                   cwd=HERE, env=dict(os.environ, CARGO_TARGET_DIR=TGT))

def start(program, arguments, keep=False, timeout=300):
    store = f"{OUT}/data"
    if not keep: shutil.rmtree(store, ignore_errors=True)
    os.makedirs(store, exist_ok=True)
    command = [f"{TGT}/release/e2e-{program}", "--payload", str(PAYLOAD), "--store", store, "--timeout", str(timeout)] + arguments
    p = subprocess.run(command, capture_output=True, text=True, timeout=timeout + 10)
    lines = p.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else {"error": (p.stderr.strip().splitlines() or ["silent"])[0][:150]}

def run(a):
    started, load, results = time.time(), [os.getloadavg()[0]], []
    sink = subprocess.Popen([f"{TGT}/release/e2e-sink", "--port", str(PORT), "--seconds", "7200"])
    time.sleep(0.5)
    def keep(j, **what):
        load.append(os.getloadavg()[0])
        results.append(dict(j, **what))
        print(f"{time.time() - started:5.0f} s  {what}: " + (j.get("error") or f"{j['msgs_per_s']:,.0f}/s, {j['cpu_us_per_msg']:.1f} µs CPU"), file=sys.stderr)
    names = [n for n in CLIENTS if not (a.alone and n == PAHO) and os.path.exists(f"{TGT}/release/e2e-{CLIENTS[n][0]}")]
    def all_memory():
        for count in MEMORY + [RECOVERED]:
            filling = start("durable", ["--what", "fill", "--tune", "1", "--port", "1", "--count", str(count)], timeout=600)
            keep(filling, what="fill", count=count)
            if count == RECOVERED:
                for r in range(a.rounds):
                    # The store is as it was: the process ends before anything is sent.
                    keep(start("durable", ["--what", "ready", "--port", str(PORT), "--count", str(count)], keep=True), what="ready", count=count)
                keep(start("durable", ["--what", "restore", "--port", str(PORT), "--count", str(count)], keep=True), what="restore", count=count)
            else:
                keep(start("durable", ["--what", "reopen", "--port", "1", "--count", str(count)], keep=True), what="reopen", count=count)
    try:
        for r in range(a.rounds):
            names = names[1:] + names[:1]      # who goes first changes
            for window, count in COUNTS.items():
                for version in a.version:
                    for name in names:
                        if name in FLOORS and (window > 1 or version != a.version[0]): continue
                        if name == ACCEPTED and window > 1: continue
                        program, more = CLIENTS[name]
                        n = min(count, PAHO_COUNT) if name == PAHO else count
                        j = start(program, more + ["--port", str(PORT), "--window", str(IN_FLIGHT if name == ACCEPTED else window), "--version", str(version), "--count", str(n)])
                        keep(j, what="publish", client=name, window=window, version=version, round=r)
        if not a.no_memory: all_memory()
    finally:
        sink.terminate(); sink.wait()
        shutil.rmtree(f"{OUT}/data", ignore_errors=True)
    about = dict(date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), seconds=time.time() - started, rounds=a.rounds,
                 load=[min(load), statistics.median(load), max(load)])
    json.dump(dict(about=about, results=results), open(f"{OUT}/results.json", "w"))

def n(x):
    if x is None: return "–"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"

def table(head, rows):
    return [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)] + [f"| {' | '.join(r)} |" for r in rows]

def tables():
    file = json.load(open(f"{OUT}/results.json"))
    about, results = file["about"], [r for r in file["results"] if "error" not in r]
    low, median, high = about["load"]
    o = [f"{about['date']}, {about['seconds'] / 60:.0f} minutes, {about['rounds']} rounds; load average of the machine "
         f"{low:.1f} to {high:.1f}, median {median:.1f}, on {os.cpu_count()} cores."]
    def every(key, name, window, version): return [r[key] for r in results if r["what"] == "publish" and key in r
                and (r["client"], r["window"]) == (name, window) and (r["version"] == version or name in FLOORS)]
    def mid(*k): v = every(*k); return statistics.median(v) if v else None
    versions = sorted({r["version"] for r in results if r["what"] == "publish"})
    for version in versions:
        rows = []
        for name in CLIENTS:
            row = [name]
            for w in COUNTS: row += [n(mid("msgs_per_s", name, w, version)), n(mid("cpu_us_per_msg", name, w, version))]
            row += [n(mid("p50_us", name, 1, version))]
            if any(x != "–" for x in row[1:]): rows.append(row)
        head = ["with a store, QoS 1, 64 B"] + [h for w in COUNTS for h in (f"window {w}: per second", "CPU µs")] + ["window 1: p50 µs"]
        o += [f"\n**{'3.1.1' if version == 4 else '5.0'} — durable publishing**\n"] + table(head, rows)
        rows = []
        def goal(title, limit, x, met): rows.append([title, limit, n(x), "yes" if met else "**no**"])
        # Both at the same time of the same round: medians of the ratios.
        def ratio(key, w, one, other, w_other=None):
            a, b = every(key, one, w, version), every(key, other, w_other or w, version)
            return statistics.median(x / y for x, y in zip(a, b)) if a and b else None
        for name, what in ((ACCEPTED, "accepted"), (OURS, "acknowledged")):
            x = ratio("p50_us", 1, name, APPEND)
            if x: goal(f"one caller until {what}, p50 / append + fdatasync", "1.3", x, x <= 1.3)
            x = ratio("msgs_per_s", 1, APPEND, name)
            if x: goal(f"one caller until {what}, mean time / append + fdatasync", "1.3", x, x <= 1.3)
        for name in (OURS, BUFFERED):
            x = ratio("msgs_per_s", 100, name, PAHO)
            if x: goal(f"window 100: {name} / paho", "30", x, x >= 30)
        o += [f"\n**{'3.1.1' if version == 4 else '5.0'} — goals**\n"] + table(["figure", "goal", "median of the rounds", "met"], rows)
    ready = [r["connect_us"] / 1e3 for r in results if r["what"] == "ready"]
    if ready:
        restore = next((r for r in results if r["what"] == "restore"), None)
        o += [f"\nRecovery of {RECOVERED:,} messages: from opening the store to the CONNACK of the sink {n(statistics.median(ready))} ms "
              f"(median; {n(min(ready))} to {n(max(ready))}); goal 1,000 ms."]
        if restore: o[-1] += f" All are delivered and forgotten after {restore['wall_s']:.1f} s."
    rows = [[{"fill": "after accepting, tokens dropped", "reopen": "after a restart"}[r["what"]], f"{r['count']:,}", n(r["rss_kb"]), n(r["allocated_kb"])]
            for w in ("fill", "reopen") for r in results if r["what"] == w and r["count"] in MEMORY]
    if rows: o += ["\n**Memory without a server**\n"] + table(["", "messages on disk", "resident KiB", "allocated KiB (SQLite's own not in it)"], rows)
    errors = [r for r in file["results"] if "error" in r]
    if errors: o += ["\nFailed:\n"] + [f"* {r}" for r in errors]
    return "\n".join(o)

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--version", type=lambda s: [int(x) for x in s.split(",")], default=[4, 5])
    for flag in ("alone", "no-run", "no-build", "no-memory"):
        p.add_argument(f"--{flag}", action="store_true")
    a = p.parse_args()
    os.makedirs(OUT, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))   # the sink is ended also then
    if not a.no_run:
        if not a.no_build: build(a.alone)
        run(a)
    t = tables()
    open(f"{OUT}/tables.md", "w").write(t + "\n")
    print(t)
