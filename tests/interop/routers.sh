#!/usr/bin/env bash
# Two homes behind routers that masquerade and let nobody in, and somebody on the network between them: run by `unshare -rn bash
# routers.sh EDDYLINE TORRENT SOURCE FOLDER`. Prints what the program in the first home prints, until it ends.
set -eu
program=$1 torrent=$2 source=$3 folder=$4
export EDDYLINE_NO_DHT=1 EDDYLINE_NO_LSD=1
trap 'kill $(jobs -p) 2>&1 || true' EXIT
ip link set lo up
ip link add net0 type bridge
ip addr add 203.0.113.1/24 dev net0
ip link set net0 up

# A router and a host behind it; their process ids are in `router` and `host`.
home() {
    local n=$1
    unshare -n sleep 600 & router=$!
    unshare -n sleep 600 & host=$!
    # Until each of them has a network of its own.
    for pid in $router $host; do
        while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
    done
    at_router="nsenter -t $router -n" at_host="nsenter -t $host -n"
    ip link add "wan$n" type veth peer name "up$n"
    ip link set "wan$n" master net0 up
    ip link set "up$n" netns $router
    $at_router ip addr add "203.0.113.1$n/24" dev "up$n"
    $at_router ip link set "up$n" up
    $at_router ip link add "lan$n" type veth peer name "eth$n"
    $at_router ip link set "eth$n" netns $host
    $at_router ip addr add "10.$n.0.1/24" dev "lan$n"
    $at_router ip link set "lan$n" up
    $at_host ip link set lo up
    $at_host ip addr add "10.$n.0.2/24" dev "eth$n"
    $at_host ip link set "eth$n" up
    $at_host ip route add default via "10.$n.0.1"
    $at_router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
    $at_router nft -f - <<RULES
table ip home {
    chain out { type nat hook postrouting priority 100; oifname "up$n" masquerade; }
    chain self { type filter hook input priority 0; iifname "up$n" ct state established,related accept; iifname "up$n" drop; }
    chain in { type filter hook forward priority 0; iifname "up$n" ct state established,related accept; iifname "up$n" drop; }
}
RULES
}

# The one in the middle has next to nothing of the torrent, so that only the other home does.
"$program" --no-config download "$torrent" --dir "$folder/middle" --state-dir "$folder/middle.state" --port 6881 \
    --max-down 4K --json >"$folder/middle.log" 2>&1 &
home 2
# It is told of nobody, so it calls the first home only when it is introduced.
$at_host "$program" --no-config seed "$torrent" --dir "$source" --state-dir "$folder/seed.state" --port 6882 \
    --peer 203.0.113.1:6881 --no-pex --json -v >"$folder/seed.log" 2>&1 &
home 1
sleep 2
$at_host "$program" --no-config download "$torrent" --dir "$folder/fetched" --state-dir "$folder/fetched.state" --port 6883 \
    --peer 203.0.113.1:6881 --json -v
