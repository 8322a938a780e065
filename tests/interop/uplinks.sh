#!/usr/bin/env bash
# A host with two uplinks, of which the routes prefer `wan`, and the program told to use `tun`: run by `unshare -rnm
# bash uplinks.sh PROGRAM TORRENT SOURCE FOLDER BIND AGAIN`, where BIND is what --bind names and AGAIN the address that
# `tun` has when it comes back. Prints what the program prints, and how many packets left by what.
set -eu
program=$1 torrent=$2 source=$3 folder=$4 bind=$5 again=$6
here=$(dirname "$0")
trap 'kill $(jobs -p) 2>&1 || true' EXIT
ip link set lo up
unshare -n sleep 600 & far=$!
# Until it has a network of its own.
while [ "$(readlink /proc/$far/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
at_far="nsenter -t $far -n"
$at_far ip link set lo up
for address in 203.0.113.53/32 203.0.113.80/32 203.0.113.7/32 2001:db8::80/128; do
    $at_far ip addr add $address dev lo
done

# An interface here, its address, and the address of the other end.
uplink() {
    ip link add "$1" type veth peer name "far-$1"
    ip link set "far-$1" netns $far
    $at_far ip addr add "$3/24" dev "far-$1"
    $at_far ip link set "far-$1" up
    ip addr add "$2/24" dev "$1"
    ip link set "$1" up
}
tun() {
    uplink tun "$1" 10.2.0.1
    ip route add default via 10.2.0.1 dev tun metric 1000
}
uplink wan 10.1.0.2 10.1.0.1
ip route add default via 10.1.0.1 dev wan
# IPv6 is there over the wrong uplink alone.
ip -6 addr add fd00:1::2/64 dev wan nodad
$at_far ip -6 addr add fd00:1::1/64 dev far-wan nodad
ip -6 route add default via fd00:1::1 dev wan
tun 10.2.0.2

# What the kernel says for nobody, of connections that are gone, is left out: resets.
nft -f - <<'RULES'
table inet watch {
    counter wrong {}
    counter dns {}
    counter web {}
    counter tracker {}
    counter udp_tracker {}
    counter local_discovery {}
    counter dht {}
    counter peers {}
    chain out {
        type filter hook output priority 0;
        oifname "wan" udp dport 0-65535 counter name wrong
        oifname "wan" tcp flags & rst == 0 counter name wrong
        oifname "wan" ip protocol igmp counter name wrong
        oifname "tun" udp dport 53 counter name dns
        oifname "tun" tcp dport 80 counter name web
        oifname "tun" tcp dport 8080 counter name tracker
        oifname "tun" udp dport 6969 counter name udp_tracker
        oifname "tun" udp dport 6771 counter name local_discovery
        oifname "tun" udp dport 7001 counter name dht
        oifname "tun" tcp dport 7001 counter name peers
    }
}
RULES
packets() { nft list counter inet watch "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }

echo "nameserver 203.0.113.53" >"$folder/resolv.conf"
mount --bind "$folder/resolv.conf" /etc/resolv.conf
$at_far python3 "$here/far_side.py" "$torrent" >"$folder/far.log" 2>&1 &
until grep -qs ready "$folder/far.log"; do sleep 0.1; done
$at_far "$program" --no-config seed "$torrent" --dir "$source" --state-dir "$folder/seed.state" --port 7001 \
    --no-trackers --no-lsd --dht-bootstrap "" --json >"$folder/seed.log" 2>&1 &

"$program" --no-config download http://tracker.example/x.torrent --bind "$bind" --dir "$folder/fetched" \
    --state-dir "$folder/fetched.state" --port 6881 --max-down 150K --dht-bootstrap node.example:7001 --json -v &
download=$!
# Until it has used everything that it uses, and something has come.
used="dns web tracker udp_tracker local_discovery dht peers"
all_used() { for what in $used; do [ "$(packets $what)" -gt 0 ] || return 1; done; }
tries=0
until all_used || [ $tries = 300 ]; do sleep 0.2; tries=$((tries + 1)); done
for what in $used; do echo "by tun: $what $(packets $what)"; done
echo "while it was there: wrong $(packets wrong)"
ip link del tun
sleep 6
echo "while it was gone: wrong $(packets wrong)"
tun "$again"
wait $download
echo "ended: $?"
# Other commands that use the network, by the same uplink.
rest() {
    timeout -s INT 4 "$program" --no-config "$@" --bind "$bind" >>"$folder/rest.log" 2>&1 || [ $? = 124 ]
}
rest info http://tracker.example/x.torrent
rest session add http://tracker.example/x.torrent --dir "$folder/fetched" --state-dir "$folder/session.state"
rest session run --state-dir "$folder/session.state" --port 6883 --dht-bootstrap node.example:7001
hash=$(sed -n 's/.*"info_hash_v1":"\([0-9a-f]*\)".*/\1/p' "$folder/seed.log" | head -n 1)
rest download "$hash" --dir "$folder/magnet" --state-dir "$folder/magnet.state" --port 6884 \
    --dht-bootstrap node.example:7001
rest seed "$torrent" --dir "$folder/fetched" --state-dir "$folder/last.state" --port 6882 \
    --dht-bootstrap node.example:7001
# The interface is there and has no address: what is started waits for one, or ends.
ip addr flush dev tun
rest seed "$torrent" --dir "$folder/fetched" --state-dir "$folder/last.state" --port 6882 || true
sleep 1
echo "after the end: wrong $(packets wrong)"
cat "$folder/rest.log"
