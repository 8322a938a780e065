//! Redacted traces: a marker is planted in every text and in every run of bytes that an event, a
//! command or a configuration can hold, also in ones that nobody thought of, and must not come out.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use bytes::Bytes;
use eddyline::base::ids::UdpSocketId;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::trace::{Origin, Recorder, Replayer, Trace, redact};
use eddyline::{Action, Command, Config, Engine, Event, StreamAction};
use eddyline_sim::{Content, PeerOptions, World};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, SeqAccess};
use serde::de::{MapAccess, VariantAccess, Visitor};

/// What is planted; its first four bytes are also an address.
const MARK: &[u8; 8] = b"ZqWjKvXy";
/// Bytes of each run, and every number: a set of 64 numbers has eight bytes.
const WIDTH: usize = 8;
const NUMBER: u8 = 64;

/// Makes values of any type: numbers are small, texts and bytes are the marker, and of each enum the
/// variant that a plan says.
struct Planter<'a> {
    plan: &'a [u32],
    /// How many variants there were to choose from, place by place.
    met: Vec<u32>,
    /// The place in a run of bytes.
    at: usize,
    /// What a pair has begun with: a number and bytes are a set of pieces, which names nobody.
    pair: Pair,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pair {
    No,
    Begun,
    Number,
}

#[derive(Debug)]
struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl de::Error for Unfit {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

macro_rules! numbers {
    ($($name:ident $visit:ident $type:ty),*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            self.pair = Pair::No;
            visitor.$visit(<$type>::from(NUMBER))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Planter<'_> {
    type Error = Unfit;

    numbers!(
        deserialize_u16 visit_u16 u16, deserialize_u64 visit_u64 u64,
        deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    );

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.pair = if self.pair == Pair::Begun { Pair::Number } else { Pair::No };
        visitor.visit_u32(NUMBER.into())
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.at += 1;
        visitor.visit_u8(MARK[(self.at - 1) % MARK.len()])
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_bool(true)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let mark = std::str::from_utf8(MARK).unwrap();
        visitor.visit_string(format!("{mark}://{mark}.{mark}:64/{mark}?{mark}={mark}"))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let set = std::mem::replace(&mut self.pair, Pair::No) == Pair::Number;
        visitor.visit_byte_buf(if set { vec![0xaa; WIDTH] } else { MARK.to_vec() })
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_tuple(WIDTH, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.at = 0;
        self.pair = if length == 2 { Pair::Begun } else { Pair::No };
        visitor.visit_seq(Run { planter: self, left: length })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_map(Run { planter: self, left: 1 })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        let chosen = self.plan.get(self.met.len()).copied().unwrap_or(0);
        self.met.push(variants.len() as u32);
        visitor.visit_enum(Chosen { planter: self, variant: chosen })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unfit> {
        Err(Unfit("a type that says nothing of itself".into()))
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    serde::forward_to_deserialize_any! {
        i8 i128 u128 f32 f64 char unit_struct identifier ignored_any
    }
}

struct Run<'p, 'a> {
    planter: &'p mut Planter<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Run<'_, '_> {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.planter).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Run<'_, '_> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        seed.deserialize(&mut *self.planter)
    }
}

struct Chosen<'p, 'a> {
    planter: &'p mut Planter<'a>,
    variant: u32,
}

impl<'de> EnumAccess<'de> for Chosen<'_, '_> {
    type Error = Unfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Unfit> {
        let number = de::value::U32Deserializer::<Unfit>::new(self.variant);
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_, '_> {
    type Error = Unfit;

    fn unit_variant(self) -> Result<(), Unfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Unfit> {
        seed.deserialize(self.planter)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Unfit> {
        self.planter.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.planter.deserialize_tuple(fields.len(), visitor)
    }
}

/// Values of a type with markers in them, so that every variant of every enum in it occurs, in
/// combinations of up to three that are not the first.
fn planted<T: DeserializeOwned>() -> Vec<T> {
    let mut values = Vec::new();
    let mut seen = BTreeSet::new();
    let mut plans = VecDeque::from([Vec::new()]);
    while let Some(plan) = plans.pop_front() {
        if !seen.insert(plan.clone()) || seen.len() > 1_500 {
            continue;
        }
        let mut planter = Planter { plan: &plan, met: Vec::new(), at: 0, pair: Pair::No };
        // What contradicts itself is no value; its variants are still tried.
        values.extend(T::deserialize(&mut planter).ok());
        if plan.iter().filter(|chosen| **chosen > 0).count() >= 3 {
            continue;
        }
        // Places far behind belong to further elements of lists.
        for place in plan.len()..planter.met.len().min(plan.len() + 12) {
            for chosen in 1..planter.met[place] {
                let mut next = plan.clone();
                next.resize(place, 0);
                next.push(chosen);
                plans.push_back(next);
            }
        }
    }
    values
}

/// What must not be found: the marker as it stands, and as text, hex, base32 and escaped in a URL.
fn traces_of_the_mark(bytes: &[u8]) -> Option<String> {
    let hex: String = MARK[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let escaped: String = MARK[..4].iter().map(|byte| format!("%{byte:02X}")).collect();
    let address = format!("{}.{}.{}.{}", MARK[0], MARK[1], MARK[2], MARK[3]);
    // Base32 of the marker begins so, wherever it begins in a group of five.
    let base32 = ["LJYVO2S", "DNRLVNJ", "NC2XKKS"];
    let mut needles: Vec<Vec<u8>> = vec![
        MARK[..4].to_vec(),
        MARK[4..].to_vec(),
        hex.to_uppercase().into(),
        hex.into(),
        escaped.into(),
        address.into(),
    ];
    needles.extend(base32.iter().map(|text| text.as_bytes().to_vec()));
    let found = needles.iter().find(|needle| bytes.windows(needle.len()).any(|w| w == **needle));
    found.map(|needle| String::from_utf8_lossy(needle).into_owned())
}

fn recorded(config: &Config, steps: impl IntoIterator<Item = Vec<Event>>) -> Trace {
    let (seed, began) = (Seed(MARK.repeat(4).try_into().unwrap()), Instant::from_millis(1_000));
    let mut engine = Engine::new(config.clone(), seed, began);
    let mut recorder = Recorder::new(Origin::New(Box::new((config.clone(), seed, began))));
    for (number, events) in steps.into_iter().enumerate() {
        let now = Instant::from_millis(1_000 + 100 * number as u64);
        let _ = recorder.step(&mut engine, now, events, &mut Vec::<Action>::new());
    }
    Trace::parse(recorder.take().into()).unwrap()
}

fn listening() -> Event {
    Event::from(Command::ListenOn {
        port: Some(6881),
        udp4: Some(UdpSocketId(1)),
        udp6: Some(UdpSocketId(2)),
    })
}

/// The redacted bytes, which replay.
fn redacted(trace: &Trace) -> Vec<u8> {
    let bytes = redact(trace).unwrap().trace;
    let mut replayer = Replayer::new(Trace::parse(bytes.clone().into()).unwrap()).unwrap();
    while let Some(outcome) = replayer.forward().unwrap() {
        outcome.same().unwrap();
    }
    bytes
}

#[test]
fn nothing_planted_in_any_event_or_command_comes_out() {
    let events: Vec<Event> = planted();
    let kinds: BTreeSet<_> = events.iter().map(|event| format!("{event:?}")).collect();
    assert!(events.len() > 100 && kinds.len() > 40, "{} of {} kinds", events.len(), kinds.len());
    for event in events {
        if matches!(&event, Event::Command(_, Command::Add(add)) if add.source.metainfo().is_none())
        {
            continue;
        }
        let text = format!("{event:?}");
        let trace = recorded(&Config::default(), [vec![listening()], vec![event], vec![]]);
        let left = traces_of_the_mark(&redacted(&trace));
        assert_eq!(left, None, "{}", text.chars().take(2_000).collect::<String>());
    }
}

#[test]
fn nothing_planted_in_a_configuration_comes_out() {
    let configs: Vec<Config> = planted();
    assert!(configs.len() > 2);
    for config in configs {
        let trace = recorded(&config, [vec![listening()], vec![], vec![]]);
        assert_eq!(traces_of_the_mark(&redacted(&trace)), None);
    }
}

#[test]
fn who_we_were_does_not_follow_from_a_redacted_trace() {
    let content = Content::tracked("s", 600_000, 32_768, &["http://t.example/announce"]);
    let mut world = World::new(4);
    let (seed, leech) = (world.add_node(), world.add_node());
    world.node_mut(leech).record();
    world.seed(seed, &content);
    let peers = vec![world.node(seed).addr];
    world.add(leech, &content, PeerOptions { peers, ..PeerOptions::default() });
    assert!(world.run_until(300, |world| world.is_complete(leech)));
    let trace = Trace::parse(world.node_mut(leech).trace()).unwrap();
    let bytes = redacted(&trace);
    let mut ids = BTreeSet::new();
    let mut replayer = Replayer::new(trace).unwrap();
    while replayer.forward().unwrap().is_some() {
        for action in &replayer.last().unwrap().actions {
            if let Action::Stream(_, StreamAction::Send(sent)) = action
                && sent.starts_with(b"\x13BitTorrent protocol")
            {
                ids.insert(sent[56..68].to_vec());
            }
        }
    }
    assert!(!ids.is_empty());
    for id in ids {
        assert!(!bytes.windows(12).any(|window| *window == id));
    }
}

/// What strangers say, with the marker wherever they can say something.
fn said() -> Vec<Vec<u8>> {
    let m = "ZqWjKvXy";
    let texts = [
        format!("d8:completei5e14:failure reason8:{m}8:intervali60e10:tracker id8:{m}e"),
        format!("d8:{m}d8:{m}l8:{m}i5ed8:{m}i7eeee5:peers12:{m}{m}{m}eZqWjKvXy")
            .replace("12:", "24:"),
        format!("d5:peersld2:ip8:{m}7:peer id8:{m}8:{m}8:{m}4:porti64eeee"),
        format!("d11:external ip4:ZqWj5:filesd20:{m}{m}ZqWjd4:name8:{m}8:completei1eeee"),
        format!("d1:ad2:id20:{m}{m}ZqWje1:q4:ping1:t4:ZqWj1:y1:qe"),
        format!("d1:md8:{m}i1e6:ut_pexi2ee1:v8:{m}6:yourip4:ZqWj8:{m}8:{m}4:reqqi5ee"),
        format!("d5:added12:{m}ZqWj7:added.f2:Zq8:{m}8:{m}e"),
        format!("BT-SEARCH * HTTP/1.1\r\nInfohash: {m}{m}{m}\r\ncookie: {m}\r\n\r\n\r\n"),
        format!("\0\0\0\x03{m}{m}"),
        format!("\0\0\0\x01ZqWj{}{m}{m}", "\0".repeat(12)),
        format!("\0\0\0\0ZqWj{m}"),
        m.to_owned(),
    ];
    texts.map(String::into_bytes).to_vec()
}

#[test]
fn nothing_that_strangers_say_comes_out() {
    let content = Content::tracked("s", 100_000, 32_768, &["udp://5.5.5.5:80/announce"]);
    let add = eddyline::AddTorrent::new(content.metainfo.clone()).into();
    let remote = "9.8.7.6:5432".parse().unwrap();
    let mut steps = vec![vec![listening(), add]];
    for data in said() {
        let data = Bytes::from(data);
        let datagram =
            |socket| Event::Datagram { socket, from: remote, data: data.clone(), waited: 0 };
        steps.push(vec![datagram(UdpSocketId(1)), datagram(UdpSocketId(2))]);
    }
    let trace = recorded(&Config::default(), steps);
    assert_eq!(traces_of_the_mark(&redacted(&trace)), None);
    // The same in connections, whole and in parts, with and without a handshake, and in replies.
    for data in said() {
        let mut stream = b"\x13BitTorrent protocolZqWjKvXy".to_vec();
        stream.extend(content.hash().0);
        stream.extend(b"-ZZ0000-ZqWjKvXyZqWj");
        let mut message = (data.len() as u32 + 2).to_be_bytes().to_vec();
        message.extend([20, 0]);
        message.extend(&data);
        for id in 0..4u8 {
            message[5] = id;
            stream.extend(&message);
        }
        stream.extend(&message[..message.len() - 3]);
        let steps = [stream.clone(), data.clone(), stream[..60].to_vec()];
        let events = steps.into_iter().enumerate().map(|(number, bytes)| {
            let conn = eddyline::base::ids::ConnId::from_u64(1 << 32 | number as u64);
            let received = eddyline::StreamEvent::Received(bytes.into());
            let exchange = eddyline::base::ids::ExchangeId::from_u64(1 << 32 | number as u64);
            let body = eddyline::HttpEvent::Body(Bytes::from(data.clone()));
            vec![Event::Stream(conn, received), Event::Http(exchange, body)]
        });
        let trace = recorded(&Config::default(), events);
        assert_eq!(traces_of_the_mark(&redacted(&trace)), None, "{data:?}");
    }
}
