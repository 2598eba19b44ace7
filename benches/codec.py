#!/usr/bin/env python3
"""Codec bench: build, run (callgrind for instructions, native for ns), print markdown tables.

  ./codec.py            everything, results in out/codec/
  ./codec.py --no-run   only re-render what is in out/codec/
  ./codec.py --no-wall  skip the (noise-sensitive) wall-clock part
  ./codec.py --alone    without the other libraries: ours and the floors, built in seconds
"""
import json, os, re, subprocess, sys
HERE = os.path.dirname(os.path.abspath(__file__))
TGT = os.environ.get("CARGO_TARGET_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "target"))
BIN = f"{TGT}/release/codec-bench"
OUT = f"{HERE}/out/codec"

def sh(cmd, **k):
    return subprocess.run(cmd, check=True, **k)

def run(wall=True):
    os.makedirs(OUT, exist_ok=True)
    features = ["--no-default-features"] if "--alone" in sys.argv else []
    sh(["cargo", "build", "--release", "-q", "-p", "codec-bench"] + features, cwd=HERE, env=dict(os.environ, CARGO_TARGET_DIR=TGT))
    cg = f"{OUT}/callgrind.out"
    if os.path.exists(cg):
        os.remove(cg)
    with open(f"{OUT}/count.jsonl", "w") as f, open(f"{OUT}/callgrind.log", "w") as e:
        sh(["valgrind", "--tool=callgrind", "--collect-atstart=no", "--combine-dumps=yes",
            f"--callgrind-out-file={cg}", BIN, "count"], stdout=f, stderr=e, timeout=1200)
    lab, n = None, 0
    with open(cg) as f, open(f"{OUT}/instr.jsonl", "w") as o:
        for l in f:
            if l.startswith("desc: Trigger: Client Request:"):
                lab = l.split("Client Request:")[1].strip()
            elif l.startswith("summary:") and lab:
                p, v, m, op, cnt = lab.split("|")
                o.write(json.dumps(dict(peer=p, v=int(v), mix=m, op=op, instr=int(l.split()[1]) / int(cnt))) + "\n")
                lab = None
    os.remove(cg)
    if wall:
        with open(f"{OUT}/wall.jsonl", "w") as f:
            sh([BIN, "wall", "--rounds", "9"], stdout=f, timeout=1200)

def load():
    d, skips = {}, []
    for fn in ("count", "instr", "wall"):
        p = f"{OUT}/{fn}.jsonl"
        if not os.path.exists(p):
            continue
        for l in open(p):
            j = json.loads(l)
            if "skip" in j:
                if fn == "count": skips.append(j)
                continue
            d.setdefault((j["v"], j["op"], j["mix"]), {}).setdefault(j["peer"], {}).update(j)
    return d, skips

NAMES = {"a": "a PUBLISH q0 64 B", "b": "b PUBLISH q1 1 KiB", "c": "c PUBLISH q1 64 KiB", "d": "d PUBLISH +5 props",
         "e": "e PUBACK", "f": "f SUBSCRIBE x10", "g": "g CONNECT", "h-whole": "h stream, whole", "h-1460": "h stream, 1460 B chunks"}

def fmt(x):
    return "–" if x is None else (f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}")

def tables():
    d, skips = load()
    o = []
    for v in (4, 5):
        for op in ("decode", "encode", "publish"):
            mixes = [m for m in NAMES if (v, op, m) in d]
            if not mixes: continue
            peers = sorted({p for m in mixes for p in d[(v, op, m)]}, key=lambda p: (p.startswith("floor"), p))
            title = {"decode": "decode", "encode": "encode a ready packet", "publish": "publish: application parts to wire bytes"}[op]
            for key, head in (("instr", "instructions/packet"), ("ns", "ns/packet"), ("allocs", "allocations/packet")):
                if not any(key in x for m in mixes for x in d[(v, op, m)].values()): continue
                o.append(f"\n**{'3.1.1' if v == 4 else '5.0'} {title} — {head}**\n")
                o.append("| peer | " + " | ".join(NAMES[m] for m in mixes) + " |")
                o.append("|---|" + "---:|" * len(mixes))
                best = {}
                for m in mixes:
                    vals = [x[key] for p, x in d[(v, op, m)].items() if not p.startswith("floor") and key in x]
                    best[m] = min(vals) if vals else None
                for p in peers:
                    row = []
                    for m in mixes:
                        x = d[(v, op, m)].get(p, {}).get(key)
                        s = fmt(x)
                        if x is not None and x == best[m] and key != "allocs": s = f"**{s}**"
                        row.append(s)
                    o.append(f"| {p} | " + " | ".join(row) + " |")
    if skips:
        o.append("\nNot decoded at all: " + ", ".join(f"{s['skip']} v{s['v']} {s['mix']}" for s in skips))
    return "\n".join(o)

if __name__ == "__main__":
    if "--no-run" not in sys.argv:
        run("--no-wall" not in sys.argv)
    t = tables()
    open(f"{OUT}/tables.md", "w").write(t)
    print(t)
