//! One recorded scenario of the placement: a file on disk, written through `compact` as the engine would,
//! with the table of pieces beside it and a piece policy that says when endgame begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use bt_api::testkit::TestHost;
use bt_api::{
    BlockRef, Host, InfoHash, OwnFacts, PeerKey, PieceHash, PieceIndex, PiecePolicy, PieceSet, PieceView,
    Pieces, StorageError, SwarmView, Torrent, TorrentLayout, TorrentStore, rng,
};
use bt_policies::piece::rarest_first::{Config as PieceConfig, RarestFirst};
use bt_storage::compact::{Compact, Config, Places, SyncWhen};
use futures::executor::block_on;
use serde::Deserialize;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

/// What the original replaced a corrupt byte with: itself, XORed with this.
const CORRUPTION: u8 = 0x5a;

/// The most bytes that a scenario is replayed with.
const MAX_TOTAL: u64 = 1 << 30;

/// A scenario as it is recorded.
#[derive(Deserialize)]
pub(crate) struct Scenario {
    total: u64,
    piece_length: u32,
    request_size: u32,
    fill_byte: String,
    data_hex: String,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    piece: u32,
    /// Offset and length of each block, in the order of arrival.
    arrival: Vec<(u32, u32)>,
    corrupt_last_block: bool,
    slot_of_piece: BTreeMap<u32, u32>,
    have_bits: String,
    endgame: bool,
    left: u64,
    ok: bool,
    file_sha1: String,
}

/// Replays `scenario`; says how what was observed differs from what is recorded.
pub(crate) fn replay(scenario: &Scenario) -> Vec<String> {
    let mut client = match Client::new(scenario) {
        Ok(client) => client,
        Err(why) => return vec![why],
    };
    let mut differences = Vec::new();
    for (number, event) in scenario.events.iter().enumerate() {
        let told = |difference| format!("event {}, piece {}: {difference}", number + 1, event.piece);
        match client.event(event) {
            Ok(ok) => differences.extend(client.compare(event, ok).into_iter().map(told)),
            Err(why) => {
                differences.push(told(why));
                break;
            }
        }
    }
    differences
}

/// A client around one store.
struct Client {
    folder: TempDir,
    torrent: Arc<Torrent>,
    content: Vec<u8>,
    fill: u8,
    store: Box<dyn TorrentStore>,
    places: Places,
    pieces: Pieces,
    policy: RarestFirst,
    endgame: bool,
}

/// Whoever is asked.
const PEER: PeerKey = PeerKey(0);

impl Client {
    fn new(scenario: &Scenario) -> Result<Self, String> {
        let content = from_hex(&scenario.data_hex).ok_or("data_hex is not hexadecimal")?;
        if content.len() as u64 != scenario.total || scenario.total > MAX_TOTAL {
            return Err(format!("{} bytes of data for a total of {}", content.len(), scenario.total));
        }
        let fill = match from_hex(&scenario.fill_byte).as_deref() {
            Some(&[fill]) => fill,
            _ => return Err("fill_byte is not one byte in hexadecimal".into()),
        };
        if scenario.request_size == 0 {
            return Err("request_size is 0".into());
        }
        let layout = TorrentLayout::single("file", scenario.total, scenario.piece_length);
        let layout = layout.map_err(|error| error.to_string())?;
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let torrent = Arc::new(Torrent {
            info_hash: InfoHash([0; 20]),
            piece_hashes: content.chunks(scenario.piece_length as usize).map(sha1).collect(),
            layout,
            folder: folder.path().to_owned(),
            saved: None,
        });
        let host: Arc<dyn Host> = TestHost::new();
        let backend = Compact::new(Config { fill, sync: SyncWhen::Never, ..Config::default() })
            .map_err(|error| format!("{error:?}"))?;
        let opened = block_on(backend.open_store(torrent.clone(), host));
        let (store, places) = opened.map_err(|error| error.to_string())?;
        let nothing = PieceSet::new(torrent.layout.piece_count());
        let mut rng = rng::stream(0, 0, "pieces");
        let pieces =
            Pieces::new(scenario.total, scenario.piece_length, scenario.request_size, nothing, &mut rng);
        let policy = RarestFirst::new(PieceConfig::default());
        Ok(Self { folder, torrent, content, fill, store, places, pieces, policy, endgame: false })
    }

    /// Fetches a piece: asks for all its blocks, writes them as they arrive, and hashes it when they are
    /// there. Answers whether it was good, or is not whole.
    fn event(&mut self, event: &Event) -> Result<bool, String> {
        let piece = PieceIndex(event.piece);
        if event.piece >= self.pieces.count() {
            return Err(format!("there are {} pieces", self.pieces.count()));
        }
        while self.pieces.request(piece, PEER, false).is_some() {}
        let own = OwnFacts::default();
        let view = PieceView::new(&self.pieces, SwarmView::new(&own, &[]), false);
        self.endgame = self.policy.endgame(&view);
        let start = self.torrent.layout.piece_offset(piece) as usize;
        let mut ok = true;
        for (number, &(begin, length)) in event.arrival.iter().enumerate() {
            let block = BlockRef { piece, begin, length };
            let unasked = || format!("the block of {length} at {begin} was not asked for");
            let arrival = self.pieces.receive(block, PEER).ok_or_else(unasked)?;
            let mut bytes = self.content[start + begin as usize..][..length as usize].to_vec();
            if event.corrupt_last_block && number + 1 == event.arrival.len() {
                bytes[0] ^= CORRUPTION;
            }
            let failed = |error: StorageError| error.to_string();
            block_on(self.store.write(piece, begin, vec![bytes.into()])).map_err(failed)?;
            if arrival.piece_is_full {
                let whole = self.torrent.layout.piece_length(piece);
                let read = block_on(self.store.read(piece, 0, whole)).map_err(failed)?;
                ok = sha1(&read) == self.torrent.piece_hashes[piece.as_usize()];
                if ok {
                    block_on(self.store.seal(piece)).map_err(failed)?;
                    self.pieces.complete(piece);
                } else {
                    self.pieces.restart(piece);
                }
            }
        }
        Ok(ok)
    }

    /// How what is there now differs from what was recorded after `event`.
    fn compare(&self, event: &Event, ok: bool) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, found: &dyn std::fmt::Debug, recorded: &dyn std::fmt::Debug| {
            let (found, recorded) = (format!("{found:?}"), format!("{recorded:?}"));
            if found != recorded {
                differences.push(format!("{what} is {found}, recorded {recorded}"));
            }
        };
        let placement = self.places.now();
        let slots = (0..placement.pieces())
            .filter_map(|piece| placement.slot_of(PieceIndex(piece)).map(|slot| (piece, slot.0)));
        compare("ok", &ok, &event.ok);
        compare("slot_of_piece", &slots.collect::<BTreeMap<_, _>>(), &event.slot_of_piece);
        let held = block_on(self.store.held()).map(|held| to_hex(&held.to_bitfield()));
        compare("have_bits", &to_hex(&self.pieces.have().to_bitfield()), &event.have_bits);
        compare(
            "what the store vouches for",
            &held.unwrap_or_else(|error| error.to_string()),
            &event.have_bits,
        );
        compare("left", &self.pieces.left(), &event.left);
        compare("endgame", &self.endgame, &event.endgame);
        compare("file_sha1", &self.image(), &event.file_sha1);
        differences
    }

    /// The SHA-1 of the file as it would be with `fill` up to its full length.
    fn image(&self) -> String {
        match std::fs::read(self.torrent.layout.files()[0].path_in(self.folder.path())) {
            Ok(mut bytes) => {
                bytes.resize(self.content.len(), self.fill);
                to_hex(&Sha1::digest(bytes))
            }
            Err(error) => format!("unknown: {error}"),
        }
    }
}

fn sha1(bytes: &[u8]) -> PieceHash {
    PieceHash(Sha1::digest(bytes).into())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}
