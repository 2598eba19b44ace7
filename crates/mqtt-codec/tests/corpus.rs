//! Gives the inputs that the fuzz targets have collected to the decoder, and what decodes to the encoder. The targets
//! themselves, in `fuzz/` of the repository, check more; without the repository there is nothing to read.

use bytes::BytesMut;
use mqtt_codec::{Decoder, Packet, Version, WireBuf};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn what_decodes_is_written_and_read_again() {
    for file in kept(["decode", "reencode", "pieces"]) {
        let input = fs::read(&file).expect("the file can be read");
        for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
            for packet in packets(&input, version) {
                let mut wire = WireBuf::new();
                if let Err(error) = packet.encode(version, &mut wire) {
                    // A decoder of 3.1 takes a few things that an encoder of 3.1 does not send.
                    assert!(version == Version::V3_1, "{}: {error}", file.display());
                    continue;
                }
                assert_eq!(packets(&wire.to_vec(), version), [packet], "{} in {version}", file.display());
            }
        }
    }
}

/// The packets at the front of the input, up to the first that is wrong or not whole.
fn packets(input: &[u8], version: Version) -> Vec<Packet> {
    let (mut decoder, mut input) = (Decoder::new(version), BytesMut::from(input));
    core::iter::from_fn(|| decoder.decode(&mut input).ok().flatten()).collect()
}

/// The inputs that are kept for these targets.
fn kept<const N: usize>(targets: [&str; N]) -> impl Iterator<Item = PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let folders = targets.map(|target| ["corpus", "regressions"].map(|kind| fuzz.join(kind).join(target)));
    folders.into_iter().flatten().flat_map(fs::read_dir).flatten().flatten().map(|file| file.path())
}
