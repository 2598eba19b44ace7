//! mqttrs 0.4 (3.1.1 only): decodes borrowed from a slice, encodes into a slice. It gives no consumed
//! length, so the caller walks the fixed header a second time, as any user of it must.
use super::floor::frame_len;
use crate::corpus::*;
use crate::peer::Peer;

pub struct Rx {
    pub buf: Vec<u8>,
    pub pos: usize,
}
impl Rx {
    pub fn new(cap: usize) -> Rx {
        Rx { buf: Vec::with_capacity(cap), pos: 0 }
    }
    pub fn push(&mut self, b: &[u8]) {
        if self.pos > 0 {
            self.buf.drain(..self.pos);
            self.pos = 0;
        }
        self.buf.extend_from_slice(b)
    }
}
pub struct Tx {
    buf: Vec<u8>,
    len: usize,
}
pub struct V4;
impl Peer for V4 {
    const NAME: &'static str = "mqttrs (borrowed)";
    const V: u8 = 4;
    type Rx = Rx;
    type Tx = Tx;
    type Pkt<'a> = mqttrs::Packet<'a>;
    fn rx(cap: usize) -> Rx {
        Rx::new(cap)
    }
    fn push(rx: &mut Rx, b: &[u8]) {
        rx.push(b)
    }
    fn next<'a>(rx: &'a mut Rx) -> Option<mqttrs::Packet<'a>> {
        let b = &rx.buf[rx.pos..];
        let t = frame_len(b)?;
        let p = mqttrs::decode_slice(&b[..t]).unwrap();
        rx.pos += t;
        p
    }
    fn tx(cap: usize) -> Tx {
        Tx { buf: vec![0; cap], len: 0 }
    }
    fn clear(tx: &mut Tx) {
        tx.len = 0
    }
    fn encode(s: &mut Option<Self::Pkt<'_>>, tx: &mut Tx) {
        tx.len += mqttrs::encode_slice(s.as_ref().unwrap(), &mut tx.buf[tx.len..]).unwrap();
    }
    fn wire(tx: &mut Tx) -> Vec<u8> {
        tx.buf[..tx.len].to_vec()
    }
    fn publish(a: &PubArgs, tx: &mut Tx) -> bool {
        use mqttrs::*;
        let pid = || Pid::try_from(a.pid).unwrap();
        let p = Packet::Publish(Publish {
            dup: false,
            retain: false,
            qospid: match a.qos {
                0 => QosPid::AtMostOnce,
                1 => QosPid::AtLeastOnce(pid()),
                _ => QosPid::ExactlyOnce(pid()),
            },
            topic_name: a.topic,
            payload: &a.payload,
        });
        tx.len += encode_slice(&p, &mut tx.buf[tx.len..]).unwrap();
        true
    }
}
