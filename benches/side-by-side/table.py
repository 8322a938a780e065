"""The results as Markdown: medians, one table for each scenario and setting."""

import json
import statistics

from payloads import MIB

LIMITED = ("s10", "s11")


def med(x):
    x = [v for v in x if v is not None]
    return statistics.median(x) if x else None


def report(A):
    rows = [json.loads(l) for f in A.files for l in open(f)]
    g = {}
    for r in rows:
        k = (
            r["scenario"],
            r.get("storage"),
            r.get("pin"),
            r.get("seeder"),
            r.get("leecher"),
            r.get("torrents"),
            r.get("cold"),
            r.get("peers"),
            r.get("rate"),
            r.get("net"),
        )
        g.setdefault(k, {}).setdefault(r["client"], []).append(r)
    for k, cs in sorted(g.items(), key=lambda x: [str(z) for z in x[0]]):
        print("\n### " + " ".join(str(x) for x in k if x is not None))
        print(
            "| client | ok/runs | wall s | active s | MB/s | CPU s | user | sys | CPU s/GiB | peak RSS MiB | anon MiB | spread wall |"
            + (" idle CPU % |" if k[0] == "s5" else "")
            + (" rate error % | burst ms | switches/s |" if k[0] in LIMITED else "")
        )
        print("|" + "---|" * (12 + (k[0] == "s5") + 3 * (k[0] in LIMITED)))
        for c, rs in sorted(
            cs.items(), key=lambda x: med([r.get("cpu") for r in x[1] if r["ok"]]) or 1e9
        ):
            o = [r for r in rs if r["ok"]]
            f = lambda q: (lambda v: "%.2f" % v if v is not None else "-")(
                med([r.get(q) for r in o])
            )
            b = med([r.get("bytes") for r in o])
            act = med([r.get("active") or r.get("wall") for r in o])
            print(
                "| %s | %d/%d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |"
                % (
                    c,
                    len(o),
                    len(rs),
                    f("wall"),
                    f("active"),
                    "%.0f" % (b / act / 1e6) if b and act else "-",
                    f("cpu"),
                    f("user"),
                    f("sys"),
                    "%.2f" % med([r["cpu"] / (r["bytes"] / 2**30) for r in o]) if b else "-",
                    (
                        "%.0f" % (med([r.get("rss_idle") or r["rss"] for r in o]) / MIB)
                        if o and o[0].get("rss")
                        else "-"
                    ),
                    (
                        "%.0f" % (med([r.get("anon_idle") or r.get("anon") or 0 for r in o]) / MIB)
                        if o
                        else "-"
                    ),
                    (
                        "%.2f..%.2f" % (min(r["wall"] for r in o), max(r["wall"] for r in o))
                        if o
                        else "-"
                    ),
                )
                + (" %s |" % f("idle_cpu_pct") if k[0] == "s5" else "")
                + (
                    " %s | %s | %s |" % (f("rate_error_pct"), f("burst_ms"), f("switches_per_s"))
                    if k[0] in LIMITED
                    else ""
                )
            )
