//! How a begun piece comes to its bytes, and makes room for another.

use std::ops::Range;
use std::sync::atomic::Ordering;

use bt_api::{PieceIndex, StorageError, StorageErrorKind};

use super::super::begun::{Begun, Held, Memory, Room, Taken};
use super::{BEGUN, Pieces, number};
use crate::ranges::padding;

/// The bytes of a piece, which ranges of it were written, and room for it.
type Brought = (Vec<u8>, Vec<Range<u32>>, Room);

impl Pieces {
    /// Has the bytes of a begun piece in memory, of which `span` will be written next.
    pub(super) fn bring_here(
        &self,
        piece: PieceIndex,
        span: &Range<u32>,
        held: &mut Held<'_>,
    ) -> Result<(), StorageError> {
        let brought = match &**held {
            Begun::Here { .. } => return Ok(()),
            Begun::Away { object, version, written } => {
                let (object, version, written) = (object.clone(), *version, written.clone());
                let brought = self.take(self.length(piece)).and_then(|room| {
                    let bytes = self.get_away(&object, version, 0..self.length(piece))?;
                    Ok((bytes.into(), written, room))
                });
                let lost = brought.as_ref().is_err_and(|error| error.kind() == StorageErrorKind::Missing);
                if lost || brought.is_ok() {
                    self.bucket.discard(&object);
                }
                if lost {
                    // The next write begins it anew.
                    self.begun.forget(piece, held);
                }
                brought
            }
            Begun::Empty | Begun::Gone => {
                let begun = self.first_bytes(piece, span);
                if begun.is_err() {
                    self.begun.forget(piece, held);
                }
                begun
            }
        };
        let (bytes, written, room) = brought?;
        **held = Begun::Here { memory: Memory::new(bytes, room), written };
        Ok(())
    }

    /// What a piece is begun with.
    fn first_bytes(&self, piece: PieceIndex, span: &Range<u32>) -> Result<Brought, StorageError> {
        let whole = 0..self.length(piece);
        let room = self.take(whole.end)?;
        let is_there = self.state().objects.contains_key(&piece);
        if is_there && *span != whole {
            match self.get(piece, whole.clone()) {
                Ok(bytes) => return Ok((bytes.into(), vec![whole], room)),
                Err(error)
                    if matches!(error.kind(), StorageErrorKind::Missing | StorageErrorKind::Corrupt) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((vec![0; whole.end as usize], padding(&self.torrent.layout, piece), room))
    }

    /// Takes room, and has other pieces go away for it.
    fn take(&self, length: u32) -> Result<Room, StorageError> {
        loop {
            match self.begun.take(length.into()) {
                Taken::Room(room) => return Ok(room),
                Taken::Victim(piece, slot) => {
                    if let Some(mut held) = self.begun.try_hold(&slot) {
                        self.send_away(piece, &mut held)?;
                    }
                }
            }
        }
    }

    fn send_away(&self, piece: PieceIndex, held: &mut Held<'_>) -> Result<(), StorageError> {
        let Begun::Here { memory, written } = &mut **held else { return Ok(()) };
        // Never the same name twice: a request that the server sees late changes nothing.
        let away = self.away.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{away}", self.run, number(piece));
        let object = self.bucket.path(self.torrent.info_hash, &[BEGUN, &name]);
        let version = memory.lend(|bytes| self.bucket.put(&object, bytes))?;
        **held = Begun::Away { object, version, written: std::mem::take(written) };
        Ok(())
    }
}
