//! How pieces are laid out in the database, and the steps of its transactions.
//!
//! The table `pieces-1` has an entry for each piece that was begun: the byte 1 when it is sealed; else 0 and the
//! ranges of its bytes that were written, first and end as four bytes each, little-endian. The table `rows-1` has
//! the bytes.

use std::iter::once;
use std::ops::Range;

use bt_api::{Block, PieceIndex, StorageError, StorageErrorKind};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::ranges::{add, covers};

type Value = &'static [u8];

/// Info-hash and piece.
const PIECES: TableDefinition<'static, (&[u8; 20], u32), Value> = TableDefinition::new("pieces-1");
/// Info-hash, piece, and the number of the row in it.
const ROWS: TableDefinition<'static, (&[u8; 20], u32, u32), Value> = TableDefinition::new("rows-1");

/// The bytes of a row. The database gives a value pages of its own whose number is a power of two: this fills
/// 64 KiB but for the few bytes that a page needs for itself.
pub(super) const ROW: u32 = (64 << 10) - 64;

const SEALED: &[u8] = &[1];
const BEGUN: u8 = 0;

/// Which piece it is, and what needs not be written of it.
pub(super) struct Piece {
    pub(super) info_hash: [u8; 20],
    pub(super) piece: PieceIndex,
    /// In bytes.
    pub(super) length: u32,
    /// What is padding, and never missing.
    pub(super) padding: Vec<Range<u32>>,
}

impl Piece {
    fn key(&self) -> (&[u8; 20], u32) {
        (&self.info_hash, self.piece.0)
    }

    fn row_key(&self, row: u32) -> (&[u8; 20], u32, u32) {
        (&self.info_hash, self.piece.0, row)
    }

    /// What is there of it, when its entry is `value`.
    fn written(&self, value: Option<&[u8]>) -> Vec<Range<u32>> {
        match value {
            None => self.padding.clone(),
            Some(SEALED) => Vec::from_iter(once(0..self.length)),
            Some(value) => {
                let mut written = self.padding.clone();
                for [a, b, c, d, e, f, g, h] in value.get(1..).unwrap_or_default().as_chunks().0 {
                    let (start, end) =
                        (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]));
                    add(&mut written, start..end.min(self.length).max(start));
                }
                written
            }
        }
    }

    /// The rows that a span lies in, each with its bytes in the piece.
    fn rows(&self, span: &Range<u32>) -> impl Iterator<Item = (u32, Range<u32>)> + use<> {
        let (length, last) = (self.length, span.end.div_ceil(ROW));
        (span.start / ROW..last).map(move |row| (row, row * ROW..length.min((row + 1).saturating_mul(ROW))))
    }

    fn missing(&self, what: &str, span: &Range<u32>) -> StorageError {
        let (piece, Range { start, end }) = (self.piece, span);
        let message =
            format!("{what} bytes {start} to {end} of piece {piece}: the database lacks some of them");
        StorageError::new(StorageErrorKind::Missing, message)
    }
}

/// Makes the tables where they are missing.
pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(PIECES)?;
    transaction.open_table(ROWS)?;
    Ok(())
}

/// The pieces of a torrent that are sealed.
pub(super) fn sealed(
    transaction: &ReadTransaction,
    info_hash: &[u8; 20],
) -> Result<Vec<PieceIndex>, redb::Error> {
    let pieces = transaction.open_table(PIECES)?;
    let mut sealed = Vec::new();
    for entry in pieces.range((info_hash, 0)..=(info_hash, u32::MAX))? {
        let (key, value) = entry?;
        if value.value() == SEALED {
            sealed.push(PieceIndex(key.value().1));
        }
    }
    Ok(sealed)
}

/// Fills `into` from `offset` of `piece`; the inner error is one of the piece and not of the database.
pub(super) fn read(
    transaction: &ReadTransaction,
    piece: &Piece,
    offset: u32,
    into: &mut [u8],
) -> Result<Result<(), StorageError>, redb::Error> {
    let span = offset..offset + into.len() as u32;
    let entry = transaction.open_table(PIECES)?.get(piece.key())?;
    if !covers(&piece.written(entry.as_ref().map(|value| value.value())), &span) {
        return Ok(Err(piece.missing("reading", &span)));
    }
    let rows = transaction.open_table(ROWS)?;
    for (row, bytes) in piece.rows(&span) {
        let part = span.start.max(bytes.start)..span.end.min(bytes.end);
        let target = &mut into[(part.start - span.start) as usize..(part.end - span.start) as usize];
        match rows.get(piece.row_key(row))? {
            None if covers(&piece.padding, &part) => target.fill(0),
            Some(value) if value.value().len() == bytes.len() => {
                let at = (part.start - bytes.start) as usize;
                target.copy_from_slice(&value.value()[at..at + target.len()]);
            }
            // Its entry says otherwise.
            _ => {
                let message =
                    format!("reading row {row} of piece {}: the database contradicts itself", piece.piece);
                return Ok(Err(StorageError::new(StorageErrorKind::Corrupt, message)));
            }
        }
    }
    Ok(Ok(()))
}

/// Writes `blocks` from `offset` of `piece`, which then is not sealed.
pub(super) fn write(
    transaction: &WriteTransaction,
    piece: &Piece,
    offset: u32,
    blocks: &[Block],
) -> Result<(), redb::Error> {
    let length: usize = blocks.iter().map(|block| block.len()).sum();
    let span = offset..offset + length as u32;
    let mut pieces = transaction.open_table(PIECES)?;
    let entry = pieces.get(piece.key())?;
    let mut written = piece.written(entry.as_ref().map(|value| value.value()));
    drop(entry);
    add(&mut written, span.clone());
    let mut value = vec![BEGUN];
    for range in &written {
        value.extend(range.start.to_le_bytes());
        value.extend(range.end.to_le_bytes());
    }
    pieces.insert(piece.key(), &value[..])?;
    let mut rows = transaction.open_table(ROWS)?;
    let mut rest = blocks.iter();
    // What is left of the block that is being copied.
    let mut block: &[u8] = &[];
    for (row, bytes) in piece.rows(&span) {
        let part = span.start.max(bytes.start)..span.end.min(bytes.end);
        let mut fill = |mut target: &mut [u8]| {
            while !target.is_empty() {
                while block.is_empty() {
                    block = rest.next().expect("as many bytes as were counted");
                }
                let (now, later) = block.split_at(target.len().min(block.len()));
                let (filled, unfilled) = target.split_at_mut(now.len());
                filled.copy_from_slice(now);
                (block, target) = (later, unfilled);
            }
        };
        if part == bytes {
            fill(rows.insert_reserve(piece.row_key(row), bytes.len())?.as_mut());
        } else {
            let mut whole = old(&rows, piece, row, bytes.len())?;
            fill(&mut whole[(part.start - bytes.start) as usize..(part.end - bytes.start) as usize]);
            rows.insert(piece.row_key(row), &whole[..])?;
        }
    }
    Ok(())
}

/// The bytes of a row as it is, or zeros.
fn old(
    rows: &Table<'_, (&'static [u8; 20], u32, u32), Value>,
    piece: &Piece,
    row: u32,
    length: usize,
) -> Result<Vec<u8>, redb::Error> {
    let mut bytes = rows.get(piece.row_key(row))?.map_or_else(Vec::new, |value| value.value().to_vec());
    bytes.resize(length, 0);
    Ok(bytes)
}

/// Seals `piece`, if all of it is there; the inner error is one of the piece.
pub(super) fn seal(
    transaction: &WriteTransaction,
    piece: &Piece,
) -> Result<Result<(), StorageError>, redb::Error> {
    let mut pieces = transaction.open_table(PIECES)?;
    let entry = pieces.get(piece.key())?;
    let whole = 0..piece.length;
    let there = covers(&piece.written(entry.as_ref().map(|value| value.value())), &whole);
    drop(entry);
    if !there {
        return Ok(Err(piece.missing("sealing", &whole)));
    }
    pieces.insert(piece.key(), SEALED)?;
    Ok(Ok(()))
}
