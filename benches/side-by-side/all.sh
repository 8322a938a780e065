#!/usr/bin/env bash
# The whole comparison, in rounds in which each client has its turn, then the table. Takes half an hour.
#   benches/side-by-side/all.sh WORK [RUNS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?a folder on a real disk with 20 GiB free}
runs=${2:-5}
out=$work/results.jsonl
rm -f "$out"
run() { python3 "$here/side_by_side.py" run "$@" --work "$work" --out "$out"; }
clients=${CLIENTS:-eddyline,libtorrent,rqbit,aria2}

for storage in disk shm; do
    for pin in split none; do
        run s1 --storage $storage --pin $pin --runs "$runs" --clients "floor,floor16,$clients"
    done
done
run s2 --pin split --runs "$runs" --clients "floor,$clients"
run s3 --runs "$runs" --clients "$clients"
run s4 --runs 3 --clients "$clients"
run s4swarm --peers 10 --runs 3 --clients "$clients"
run s5 --torrents 10000 --runs 1 --clients "${SCALE_CLIENTS:-eddyline,libtorrent}"
run s6 --runs 3 --clients "${SMALL_FILE_CLIENTS:-eddyline,libtorrent,aria2}"
run s7 --runs "$runs" --clients "$clients"
for rate in 0 1000000 5000000 20000000; do
    for scenario in s10 s11; do
        run $scenario --rate $rate --storage shm --runs 3 --clients "${LIMITED_CLIENTS:-eddyline,libtorrent,aria2}"
    done
done
for loss in 0 0.01; do
    run s9 --cc bbr --delay 25 --loss $loss --runs 3 --clients "floor,$clients"
done
python3 "$here/side_by_side.py" report "$out"
