#!/usr/bin/env bash
# A host that reaches everything directly, and a proxy that reaches it too: run by `unshare -rnm bash proxies.sh PROGRAM
# TORRENT SOURCE FOLDER KIND FLAG…`, where KIND is the proxy that is started (dante, microsocks or tinyproxy) and the
# flags are those of `download` besides. Prints what the program prints, how many packets left directly, and how many
# the proxy passed on.
set -eu
program=$1 torrent=$2 source=$3 folder=$4 kind=$5
shift 5
here=$(dirname "$0")
trap 'kill $(jobs -p) 2>&1 || true' EXIT
ip link set lo up
unshare -n sleep 600 & far=$!
# Until it has a network of its own.
while [ "$(readlink /proc/$far/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
at_far="nsenter -t $far -n"
$at_far ip link set lo up
for address in 203.0.113.53/32 203.0.113.80/32 203.0.113.7/32 203.0.113.9/32 2001:db8::80/128; do
    $at_far ip addr add $address dev lo
done
ip link add wan type veth peer name far-wan
ip link set far-wan netns $far
$at_far ip addr add 10.1.0.1/24 dev far-wan
$at_far ip link set far-wan up
ip addr add 10.1.0.2/24 dev wan
ip link set wan up
ip route add default via 10.1.0.1 dev wan
ip -6 addr add fd00:1::2/64 dev wan nodad
$at_far ip -6 addr add fd00:1::1/64 dev far-wan nodad
ip -6 route add default via fd00:1::1 dev wan

# What the kernel says for nobody, of connections that are gone, is left out: resets.
nft -f - <<'RULES'
table inet watch {
    counter dns {}
    counter trackers {}
    counter peers {}
    counter rest {}
    counter proxy_tcp {}
    counter proxy_udp {}
    chain out {
        type filter hook output priority 0;
        oifname != "wan" accept
        tcp flags & rst != 0 accept
        ip daddr 10.1.0.1 tcp dport 1080 counter name proxy_tcp accept
        ip daddr 10.1.0.1 meta l4proto udp counter name proxy_udp accept
        meta l4proto { tcp, udp } th dport 53 counter name dns accept
        meta l4proto { tcp, udp } th dport { 80, 8080, 6969 } counter name trackers accept
        meta l4proto { tcp, udp } th dport 7001 counter name peers accept
        meta l4proto { tcp, udp, igmp } counter name rest
    }
}
RULES
# What reaches the servers, whoever sends it; the peer there calls nobody.
$at_far nft -f - <<'RULES'
table inet watch {
    counter dns {}
    counter web {}
    counter tracker {}
    counter udp_tracker {}
    counter peer_tcp {}
    counter peer_udp {}
    chain in {
        type filter hook input priority 0;
        udp dport 53 counter name dns
        tcp dport 80 counter name web
        tcp dport 8080 counter name tracker
        udp dport 6969 counter name udp_tracker
        tcp dport 7001 counter name peer_tcp
        udp dport 7001 counter name peer_udp
    }
}
RULES
packets() { nft list counter inet watch "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
far_packets() { $at_far nft list counter inet watch "$1" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }

echo "nameserver 203.0.113.53" >"$folder/resolv.conf"
mount --bind "$folder/resolv.conf" /etc/resolv.conf
$at_far python3 "$here/far_side.py" "$torrent" >"$folder/far.log" 2>&1 &
until grep -qs ready "$folder/far.log"; do sleep 0.1; done
$at_far "$program" --no-config seed "$torrent" --dir "$source" --state-dir "$folder/seed.state" --port 7001 \
    --no-trackers --no-lsd --dht-bootstrap "" --json >"$folder/seed.log" 2>&1 &

# As the program knows it, and as it is started.
cat >"$folder/danted.conf" <<'CONF'
logoutput: stderr
internal: 10.1.0.1 port = 1080
external: 203.0.113.9
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: root
client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
CONF
cat >"$folder/tinyproxy.conf" <<'CONF'
Port 1080
Listen 10.1.0.1
Timeout 600
BasicAuth someone secret
DisableViaHeader Yes
CONF
case $kind in
dante) proxy="socks5://10.1.0.1:1080" run="danted -f $folder/danted.conf" ;;
microsocks) proxy="socks5h://someone:secret@10.1.0.1" run="microsocks -i 10.1.0.1 -p 1080 -u someone -P secret" ;;
tinyproxy) proxy="http://someone:secret@10.1.0.1:1080" run="tinyproxy -d -c $folder/tinyproxy.conf" ;;
esac
start_proxy() {
    $at_far setsid $run >>"$folder/proxy.log" 2>&1 &
    started=$!
    until $at_far bash -c "</dev/tcp/10.1.0.1/1080" 2>>"$folder/proxy.log"; do sleep 0.1; done
}
start_proxy

EDDYLINE_PROXY=$proxy "$program" --no-config download http://tracker.example/x.torrent --dir "$folder/fetched" \
    --state-dir "$folder/fetched.state" --port 6881 --max-down 300K --dht-bootstrap node.example:7001 --json -v "$@" &
download=$!
# Something has come.
tries=0
until [ "$(far_packets peer_tcp)" -gt 20 ] || [ "$(far_packets peer_udp)" -gt 40 ] || [ $tries = 200 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
# The proxy is gone for a while, and the ways through it with it.
kill -- -$started || true
wait $started || true
sleep 4
start_proxy
wait $download
echo "ended: $?"
# Other commands that use the network, for the same and from the same.
while [ $# -gt 0 ]; do
    case $1 in
    --proxy-for) export EDDYLINE_PROXY_FOR=$2 ;;
    --bind) export EDDYLINE_BIND=$2 ;;
    --no-dht) export EDDYLINE_NO_DHT=1 ;;
    --no-lsd) export EDDYLINE_NO_LSD=1 ;;
    esac
    shift
done
rest() {
    EDDYLINE_PROXY=$proxy timeout -s INT 4 "$program" --no-config "$@" >>"$folder/rest.log" 2>&1 || [ $? = 124 ]
}
rest info http://tracker.example/x.torrent
rest session add http://tracker.example/x.torrent --dir "$folder/fetched" --state-dir "$folder/session.state"
rest session run --state-dir "$folder/session.state" --port 6883 --dht-bootstrap node.example:7001
rest seed "$torrent" --dir "$folder/fetched" --state-dir "$folder/last.state" --dht-bootstrap node.example:7001
rest create "$folder/fetched" -o "$folder/made.torrent"
for what in dns trackers peers rest; do echo "directly: $what $(packets $what)"; done
for what in proxy_tcp proxy_udp; do echo "to it: $what $(packets $what)"; done
for what in dns web tracker udp_tracker peer_tcp peer_udp; do echo "arrived: $what $(far_packets $what)"; done
cat "$folder/rest.log"
