#!/usr/bin/env python3
"""Clients end to end: build, run against the sink, print markdown tables.

  ./e2e.py                      everything, results in out/e2e/
  ./e2e.py --no-run             only print again what is in out/e2e/
  ./e2e.py --no-count           skip instructions and system calls
  ./e2e.py --count-only         nothing but these: they do not mind a busy machine
  ./e2e.py --alone              without the other libraries: ours and the floor, built in a minute
  ./e2e.py --only ours,rumqttc --scenario "pub q1,sub q1" --version 5 --rounds 7

All on 127.0.0.1; every process is started, waited for and ended here.
"""
import argparse, json, os, re, signal, statistics, subprocess, sys, tempfile, time
HERE = os.path.dirname(os.path.abspath(__file__))
TGT = os.environ.get("CARGO_TARGET_DIR", f"{HERE}/target")
OUT = f"{HERE}/out/e2e"
PORT = int(os.environ.get("E2E_PORT", 18899))   # of TCP; TLS, WebSocket and both follow
ONE_CORE = PORT + 10                            # of a sink that keeps to one core, for clients that keep to it too
TO_ONE_CORE = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
CA = f"{OUT}/ca.pem"                            # made by the sink for this run

# name: package, further arguments
CLIENTS = {
    "ours": ("ours", []),
    "ours, topic checked": ("ours", ["--tune", "1"]),
    "rumqttc": ("rumqttc", []),
    "rumqttc-next": ("rumqttc-next", []),
    "rumqttc-next, batch 64": ("rumqttc-next", ["--tune", "64"]),
    "mqtt5": ("mqtt5", []),
    "mqtt-endpoint-tokio": ("endpoint", []),
    "paho (C)": ("paho", []),
    "libmosquitto": ("libmosquitto", []),
    "floor": ("floor", []),
    "floor, 1 write/message": ("floor", ["--tune", "1"]),
}
ALONE = ["ours", "floor"]
PUB_ONLY = ["ours, topic checked", "floor, 1 write/message"]                   # otherwise as the row above
ONE_RUNTIME = ["paho (C)", "libmosquitto", "floor", "floor, 1 write/message"]  # know no tokio runtime
# libmosquitto uses select() and three descriptors for each client, paho takes 30 s to connect 1,000
FEWER_IDLE = {"libmosquitto": 300, "paho (C)": 200}

# Who is measured over more than TCP. libmosquitto has no WebSocket; mqtt-endpoint-tokio was not taught.
TRANSPORTS = {"tls": ["ours", "rumqttc", "rumqttc-next", "rumqttc-next, batch 64", "mqtt5", "paho (C)", "libmosquitto"],
              "ws": ["ours", "rumqttc", "rumqttc-next", "rumqttc-next, batch 64", "mqtt5", "paho (C)"],
              "wss": ["ours", "paho (C)"]}

def scenario(role, qos=1, payload=64, count=200_000, threads=1, tasks=1, transport="tcp", port=PORT):
    return dict(role=role, qos=qos, payload=payload, count=count, threads=threads, tasks=tasks, transport=transport, port=port)

SCENARIOS = {
    **{f"pub q{q}": scenario("pub", q, count=[200_000, 200_000, 100_000][q]) for q in (0, 1, 2)},
    **{f"sub q{q}": scenario("sub", q, count=[500_000, 500_000, 200_000][q]) for q in (0, 1, 2)},
    "pub q1, 2 threads": scenario("pub", threads=2),
    "pub q1, 2 threads, 100 tasks": scenario("pub", threads=2, tasks=100),
    "pub q0 64K": scenario("pub", 0, 65_536, 5_000),
    "pub q1 64K": scenario("pub", 1, 65_536, 5_000),
    "sub q0 64K": scenario("sub", 0, 65_536, 5_000),
    "sub q1 64K": scenario("sub", 1, 65_536, 5_000),
    **{f"{role} q1 {t}": scenario(role, transport=t) for t in ("tls", "ws", "wss") for role in ("pub", "sub")},
    "ping-pong": scenario("pingpong", count=5_000),
    # What a message costs here does not hang on how soon the other core wakes, nor on what is left in its cache.
    "ping-pong, one core": scenario("pingpong", count=5_000, port=ONE_CORE),
    "pub q0 64K, one core": scenario("pub", 0, 65_536, 5_000, port=ONE_CORE),
    "pub q1 64K, one core": scenario("pub", 1, 65_536, 5_000, port=ONE_CORE),
    "idle": scenario("idle", count=1_000),
}

OVER = [s for s in SCENARIOS if s.split()[-1] in TRANSPORTS]
BASIC = [f"{role} q{q}" for role in ("pub", "sub") for q in (0, 1, 2)]
COUNTED, FEW, MANY = ["pub q1", "sub q1"] + OVER, 2_000, 12_000
MANY_TLS = 22_000   # no two handshakes cost the same

# What the client was asked to reach: key of the figure, (scenario, field), goal (None: no worse than the best peer; text: so much of it)
GOALS = [
    ("pub QoS 0", "pub q0", "cpu", 0.3), ("pub QoS 1", "pub q1", "cpu", 0.6), ("pub QoS 2", "pub q2", "cpu", 1.2),
    ("sub QoS 0", "sub q0", "cpu", 0.15), ("sub QoS 1", "sub q1", "cpu", 0.3), ("sub QoS 2", "sub q2", "cpu", 0.6),
    ("user instructions, pub QoS 1", "pub q1", "instructions", 2000), ("user instructions, sub QoS 1", "sub q1", "instructions", 1500),
    ("system calls, pub QoS 1", "pub q1", "syscalls", 0.05), ("system calls, sub QoS 1", "sub q1", "syscalls", 0.02),
    ("pub QoS 1, 2 threads", "pub q1, 2 threads", "cpu", 0.9),
    ("pub QoS 1, 2 threads, 100 tasks", "pub q1, 2 threads, 100 tasks", "cpu", 1.2),
    ("ping-pong p50, µs", "ping-pong", "p50", None), ("ping-pong p50 on one core, µs", "ping-pong, one core", "p50", None), ("KiB per idle connection", "idle", "kib", 8),
    ("pub QoS 0, 64 KiB", "pub q0 64K", "cpu", None), ("pub QoS 1, 64 KiB", "pub q1 64K", "cpu", None),
    ("pub QoS 0, 64 KiB, one core", "pub q0 64K, one core", "cpu", None), ("pub QoS 1, 64 KiB, one core", "pub q1 64K, one core", "cpu", None),
    ("sub QoS 0, 64 KiB", "sub q0 64K", "cpu", None), ("sub QoS 1, 64 KiB", "sub q1 64K", "cpu", None),
    ("pub QoS 1 over TLS", "pub q1 tls", "cpu", "0.8"), ("sub QoS 1 over TLS", "sub q1 tls", "cpu", "0.8"),
]
SLOW = ["mqtt5", "mqtt-endpoint-tokio", "paho (C)", "libmosquitto"]  # a quarter of the messages is enough
C_LIBRARIES = ["paho (C)", "libmosquitto"]  # left out of the comparison of memory, which is between Rust clients

def build(alone):
    packages = ["sink"] + sorted({p for n, (p, _) in CLIENTS.items() if not alone or n in ALONE})
    # A peer that does not build here is left out and named.
    subprocess.run(["cargo", "build", "--release", "-q", "--keep-going"] + [f"-pe2e-{p}" for p in packages],
                   cwd=HERE, env=dict(os.environ, CARGO_TARGET_DIR=TGT))

def command(name, version, s):
    package, more = CLIENTS[name]
    topic = f"blast/{s['qos']}/{s['count']}/{s['payload']}" if s["role"] == "sub" else "bench/dev-00001/temp"
    arguments = dict(s, version=version, topic=topic, ca=CA)
    return (TO_ONE_CORE if s["port"] == ONE_CORE else []) + [f"{TGT}/release/e2e-{package}"] + more + [x for k, v in arguments.items() for x in (f"--{k}", str(v))]

def applies(name, sid):
    s = SCENARIOS[sid]
    if s["transport"] != "tcp" and name not in TRANSPORTS[s["transport"]]: return False
    if s["threads"] > 1 and name in ONE_RUNTIME: return False
    return s["role"] == "pub" or name not in PUB_ONLY

def measure(name, version, s):
    if s["role"] == "idle": s = dict(s, count=FEWER_IDLE.get(name, s["count"]))
    elif name in SLOW: s = dict(s, count=s["count"] // 4)
    p = subprocess.run(command(name, version, s), capture_output=True, text=True, timeout=90)
    lines = p.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else {"error": (p.stderr.strip().splitlines() or ["silent"])[0][:150]}

def count(name, version, s, tool):
    """Instructions or system calls per message: the difference between a long and a short run."""
    total, many = [], MANY_TLS if s["transport"] in ("tls", "wss") else MANY
    for n in (FEW, many):
        f = f"{tempfile.gettempdir()}/e2e-count.{os.getpid()}"
        wrap = {"instructions": ["valgrind", "--tool=callgrind", f"--callgrind-out-file={f}"],
                "syscalls": ["strace", "-f", "-c", "-U", "calls,name", "-o", f]}[tool]
        p = subprocess.run(wrap + command(name, version, dict(s, count=n)), capture_output=True, text=True, timeout=120)
        if '"done"' not in p.stdout: return None
        t = open(f).read(); os.remove(f)
        total.append(int(re.search(r"^(?:summary|totals): (\d+)" if tool == "instructions" else r"^\s*(\d+)\s+total$", t, re.M).group(1)))
    return (total[1] - total[0]) / (many - FEW)

def run(a):
    started, load = time.time(), [os.getloadavg()[0]]
    names = [n for n in CLIENTS if not (a.alone and n not in ALONE) and not (a.only and n not in a.only)]
    absent = [n for n in names if not os.path.exists(f"{TGT}/release/e2e-{CLIENTS[n][0]}")]
    names = [n for n in names if n not in absent]
    sids = [s for s in SCENARIOS if not a.scenario or s in a.scenario]
    sink = [f"{TGT}/release/e2e-sink", "--seconds", "7200", "--port"]
    sinks = [subprocess.Popen(sink + [str(PORT), "--ca", CA]), subprocess.Popen(TO_ONE_CORE + sink + [str(ONE_CORE)])]
    time.sleep(0.5)
    dead = set()
    with open(f"{OUT}/results.jsonl", "a" if a.append else "w") as f:
        def keep(j, name, version, sid):
            load.append(os.getloadavg()[0])
            f.write(json.dumps(dict(j, client=name, version=version, scenario=sid)) + "\n"); f.flush()
            if "error" in j: dead.add((name, version, sid))
            what = j.get("error") or ", ".join(f"{k} {j[k]:,.3f}" for k in ("cpu_us_per_msg", "p50_us", "instructions", "syscalls") if j.get(k) is not None)
            print(f"{time.time() - started:5.0f} s  {sid}  {name} v{version}: {what}", file=sys.stderr)
        def each(sids):
            for sid in sids:
                for version in a.version:
                    for name in names:
                        if applies(name, sid) and (name, version, sid) not in dead: yield name, version, sid
        try:
            for r in range(0 if a.count_only else a.rounds):
                names = names[1:] + names[:1]      # who goes first changes
                for name, version, sid in each(sids):
                    try: keep(measure(name, version, SCENARIOS[sid]), name, version, sid)
                    except subprocess.TimeoutExpired: keep({"error": "hung"}, name, version, sid)
            for name, version, sid in [] if a.no_count else each([s for s in COUNTED if s in sids]):
                if name.startswith("floor,"): continue
                j = {}
                for tool in ("instructions", "syscalls"):
                    try: j[tool] = count(name, version, SCENARIOS[sid], tool)
                    except subprocess.TimeoutExpired: j[tool] = None
                keep(j, name, version, sid)
        finally:
            for sink in sinks: sink.terminate(); sink.wait()
        f.write(json.dumps(dict(about=True, date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), seconds=time.time() - started,
                                rounds=a.rounds, load=[min(load), statistics.median(load), max(load)], absent=absent)) + "\n")

def load():
    """{(version, scenario, client, figure): median, for latencies the best round}, failures, words about the run"""
    values, errors, about = {}, {}, {}
    for j in map(json.loads, open(f"{OUT}/results.jsonl")):
        if "about" in j: about = j; continue
        k = (j["version"], j["scenario"], j["client"])
        if "error" in j: errors[k] = j["error"]; continue
        figures = dict(cpu=j.get("cpu_us_per_msg"), p50=j.get("p50_us"), p99=j.get("p99_us"), rate=j.get("msgs_per_s"),
                       connect=j.get("connect_us"), instructions=j.get("instructions"), syscalls=j.get("syscalls"))
        if "rss_all_kb" in j: figures["kib"] = (j["rss_all_kb"] - j["rss_one_kb"]) / (j["count"] - 1)
        for name, x in figures.items():
            if x is not None: values.setdefault(k + (name,), []).append(x)
    # Whether the other core sleeps deeply when it is wanted doubles a latency, and has nothing to do with the client.
    return {k: min(v) if k[3] in ("p50", "p99") else statistics.median(v) for k, v in values.items()}, errors, about

def n(x):
    if x is None: return "–"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}" if abs(x) >= 0.1 else f"{x:.3f}"

def peers(values, version, sid, figure):
    rust = figure == "kib"
    return {k[2]: x for k, x in values.items() if k[:2] == (version, sid) and k[3] == figure
            and not k[2].startswith(("ours", "floor")) and not (rust and k[2] in C_LIBRARIES)}

def table(head, rows):
    return [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)] + [f"| {' | '.join(r)} |" for r in rows]

def goals(values, version):
    rows = []
    for title, sid, figure, goal in GOALS:
        x, others = values.get((version, sid, "ours", figure)), peers(values, version, sid, figure)
        if x is None: continue
        best = min(others, key=others.get) if others else None
        share = float(goal or 1) if goal is None or isinstance(goal, str) else None
        limit = goal if share is None else others[best] * share if best else None
        wanted = n(goal) if share is None else f"{share:g} of the best peer" if share < 1 else "best peer"
        # One rounding for the eye and for the verdict.
        met = "–" if limit is None else "yes" if float(n(x).replace(",", "")) <= float(n(limit).replace(",", "")) else "**no**"
        rows.append([title, wanted, n(x), met, n(values.get((version, sid, "rumqttc", figure))),
                     f"{n(others[best])} ({best})" if best else "–", f"{x / others[best]:.2f}" if best and others[best] else "–"])
    return table(["figure", "goal", "ours", "met", "rumqttc", "best peer", "ours / best"], rows)

def matrix(values, errors, version, columns, digits=n):
    """columns: [(head, scenario, figure)]; bold: the best, floors aside"""
    columns = [c for c in columns if any(k[:2] == (version, c[1]) and k[3] == c[2] for k in values)]
    clients = [c for c in CLIENTS if any(k[0] == version and k[2] == c and (k[1], k[3]) in [x[1:] for x in columns] for k in values)]
    rows = []
    for c in clients:
        row = [c]
        for _, sid, figure in columns:
            x = values.get((version, sid, c, figure))
            every = [v for k, v in values.items() if k[:2] == (version, sid) and k[3] == figure and not k[2].startswith("floor")]
            best = every and x == (max if figure == "rate" else min)(every)
            row.append("failed" if x is None and (version, sid, c) in errors else f"**{digits(x)}**" if best else digits(x))
        rows.append(row)
    return table(["client"] + [c[0] for c in columns], rows) if columns else []

def tables():
    values, errors, about = load()
    o = []
    if about:
        low, median, high = about["load"]
        o.append(f"{about['date']}, {about['seconds'] / 60:.0f} minutes, {about['rounds']} rounds; load average of the machine "
                 f"{low:.1f} to {high:.1f}, median {median:.1f}, on {os.cpu_count()} cores.")
        if about["absent"]: o.append(f"Not built here: {', '.join(about['absent'])}.")
    parts = [
        ("CPU seconds per million messages of 64 B", [(s, s, "cpu") for s in SCENARIOS if s in BASIC]),
        ("over TLS and WebSocket, QoS 1: CPU seconds per million messages of 64 B", [(s, s, "cpu") for s in OVER]),
        ("over TLS and WebSocket, QoS 1: user instructions per message", [(s, s, "instructions") for s in OVER]),
        ("over TLS and WebSocket, QoS 1: system calls per message", [(s, s, "syscalls") for s in OVER]),
        ("multi-thread runtime, two workers: CPU seconds per million messages",
         [("one producer in `block_on`", "pub q1, 2 threads", "cpu"), ("100 tasks", "pub q1, 2 threads, 100 tasks", "cpu")]),
        ("64 KiB payloads: CPU seconds per million messages", [(s, s, "cpu") for s in SCENARIOS if "64K" in s]),
        ("user instructions and system calls per message",
         [(f"{s}, {f}", s, k) for k, f in (("instructions", "instructions"), ("syscalls", "system calls")) for s in ("pub q1", "sub q1")]),
        ("latency and memory", [("ping-pong p50 µs", "ping-pong", "p50"), ("p99 µs", "ping-pong", "p99"), ("CPU µs a round trip", "ping-pong", "cpu"),
                                ("on one core: p50 µs", "ping-pong, one core", "p50"), ("p99 µs", "ping-pong, one core", "p99"),
                                ("CPU µs a round trip", "ping-pong, one core", "cpu"),
                                ("connect µs", "ping-pong", "connect"), ("KiB per idle connection", "idle", "kib")]),
        ("messages per second", [(s, s, "rate") for s in SCENARIOS if s[:3] in ("pub", "sub")]),
    ]
    for version in (4, 5):
        if not any(k[0] == version for k in values): continue
        V = "3.1.1" if version == 4 else "5.0"
        o += [f"\n**{V} — goals**\n"] + goals(values, version)
        for title, columns in parts:
            t = matrix(values, errors, version, columns)
            if t: o += [f"\n**{V} — {title}**\n"] + t
    if errors:
        o += ["\nFailed:\n"] + [f"* {c}, {'3.1.1' if v == 4 else '5.0'}, {s}: `{e}`" for (v, s, c), e in sorted(errors.items())]
    return "\n".join(o)

if __name__ == "__main__":
    words = lambda s: [x.strip() for x in s.split(";" if ";" in s else ",")]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", type=words, help="clients, by comma (or semicolon, for names with a comma)")
    p.add_argument("--scenario", type=words)
    p.add_argument("--version", type=lambda s: [int(x) for x in s.split(",")], default=[4, 5])
    for flag in ("alone", "no-run", "no-build", "no-count", "count-only", "append"):
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
