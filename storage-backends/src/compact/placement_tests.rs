//! Tests of [`Placement`] by itself.

use proptest::prelude::*;

use super::*;

/// Lets `pieces` arrive one after another; answers what the slots hold after each.
fn trace(count: u32, pieces: &[u32]) -> Vec<Vec<Option<u32>>> {
    let mut placement = Placement::new(PieceSet::new(count));
    let arrives = |&piece: &u32| {
        placement.plan(PieceIndex(piece)).iter().for_each(|step| placement.apply(step));
        held(&placement)
    };
    pieces.iter().map(arrives).collect()
}

fn held(placement: &Placement) -> Vec<Option<u32>> {
    placement.slots().map(|piece| piece.map(|piece| piece.0)).collect()
}

const HOLE: Option<u32> = None;

/// Case 34 (SW-15): pieces wait in low slots, and each moves home when the files reach it.
#[test]
fn case_34_moves_home() {
    let expected = [
        [Some(2), HOLE, HOLE, HOLE],
        [Some(2), Some(3), HOLE, HOLE],
        [Some(0), Some(3), Some(2), HOLE],
        [Some(0), Some(1), Some(2), Some(3)],
    ];
    assert_eq!(trace(4, &[2, 3, 0, 1]), expected);
}

/// Case 34 (SW-16): a piece whose slot is taken gets it, and the other moves on.
#[test]
fn case_34_a_tenant_moves_on() {
    let expected = [
        [Some(2), HOLE, HOLE, HOLE],
        [Some(0), Some(2), HOLE, HOLE],
        [Some(0), Some(1), Some(2), HOLE],
        [Some(0), Some(1), Some(2), Some(3)],
    ];
    assert_eq!(trace(4, &[2, 0, 1, 3]), expected);
}

/// Case 34 (SW-17): two pieces move for one that arrives.
#[test]
fn case_34_two_move() {
    let traced = trace(5, &[2, 3, 1, 0, 4]);
    assert_eq!(traced[1], [Some(2), Some(3), HOLE, HOLE, HOLE]);
    assert_eq!(traced[2], [Some(3), Some(1), Some(2), HOLE, HOLE]);
    assert_eq!(traced[3], [Some(0), Some(1), Some(2), Some(3), HOLE]);
    assert_eq!(traced[4], [Some(0), Some(1), Some(2), Some(3), Some(4)]);
}

#[test]
fn a_piece_that_has_a_place_keeps_it() {
    let mut placement = Placement::new(PieceSet::new(3));
    placement.plan(PieceIndex(2)).iter().for_each(|step| placement.apply(step));
    assert_eq!(placement.plan(PieceIndex(2)), []);
}

fn pinned(count: u32, bits: u64) -> PieceSet {
    let mut set = PieceSet::new(count);
    (0..count).filter(|piece| bits >> piece & 1 == 1).for_each(|piece| {
        set.insert(PieceIndex(piece));
    });
    set
}

/// The rules of [`Placement`], and that what it says can be restored; `short_last` as there.
fn is_sound(placement: &Placement, pins: &PieceSet, short_last: bool) {
    let count = placement.pieces();
    for (slot, piece) in (0..count).zip(held(placement)) {
        let Some(piece) = piece else { continue };
        assert_eq!(placement.slot_of(PieceIndex(piece)), Some(PieceIndex(slot)));
        if piece != slot {
            assert_eq!(placement.piece_in(PieceIndex(piece)), None, "a guest's home is empty");
            assert!(!pins.contains(PieceIndex(piece)) && !pins.contains(PieceIndex(slot)));
            assert!(!short_last || slot != count - 1, "no other piece fits the short last slot");
        }
    }
    let placed = (0..count).filter(|&piece| placement.slot_of(PieceIndex(piece)).is_some()).count();
    assert_eq!(placement.slots().flatten().count(), placed);
    let restored = Placement::restore(pins.clone(), short_last, placement.slots());
    assert_eq!(restored.as_ref(), Some(placement));
}

proptest! {
    /// SW-14: holes go lowest first, one for each piece that begins; at the end everything is at home.
    #[test]
    fn any_order_keeps_the_rules(
        order in (1_u32..24).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle()),
        pins: u64, short_last: bool,
    ) {
        let count = order.len() as u32;
        let pins = pinned(count, pins);
        let mut placement = Placement::new(pins.clone());
        let mut begun = 0;
        let mut used = pins.count();
        for piece in order {
            let before = placement.clone();
            let plan = placement.plan(PieceIndex(piece));
            prop_assert_eq!(plan.is_empty(), pins.contains(PieceIndex(piece)));
            begun += u32::from(!plan.is_empty());
            for step in &plan {
                if let Step::Move { to, piece, .. } = step {
                    prop_assert!(placement.piece_in(*to).is_none());
                    prop_assert!(before.slot_of(*piece).is_some(), "only what has a place moves");
                }
                placement.apply(step);
            }
            is_sound(&placement, &pins, short_last);
            let now = placement.slots().flatten().count() as u32;
            prop_assert!(now <= used + 1);
            used = now;
            let lowest = (0..count).find(|&slot| placement.piece_in(PieceIndex(slot)).is_none());
            let movable = |slot: &u32| !pins.contains(PieceIndex(*slot));
            prop_assert_eq!((0..count).filter(movable).nth(begun as usize), lowest, "the lowest are full");
        }
        prop_assert!((0..count).all(|piece| placement.slot_of(PieceIndex(piece)) == Some(PieceIndex(piece))));
    }

    /// A plan that is broken off leaves a slot empty, and everything else as it should be.
    #[test]
    fn broken_off_plans_keep_the_rules(
        arrivals in prop::collection::vec((0_u32..12, 0_usize..4), 1..60), pins in 0_u64..16,
    ) {
        let pins = pinned(12, pins);
        let mut placement = Placement::new(pins.clone());
        for (piece, steps) in arrivals {
            for step in placement.plan(PieceIndex(piece)).iter().take(steps) {
                placement.apply(step);
            }
            is_sound(&placement, &pins, true);
        }
        for piece in 0..12 {
            placement.plan(PieceIndex(piece)).iter().for_each(|step| placement.apply(step));
        }
        prop_assert!((0..12).all(|piece| placement.slot_of(PieceIndex(piece)) == Some(PieceIndex(piece))));
    }

    /// Whatever a file says: what is restored keeps the rules, and comes to an end with everything at home.
    #[test]
    fn what_is_restored_keeps_the_rules(
        held in prop::collection::vec(prop::option::of(0_u32..8), 0..9), pins in 0_u64..8, short_last: bool,
    ) {
        let pins = pinned(7, pins);
        let pieces = held.iter().map(|piece| piece.map(PieceIndex));
        if let Some(mut placement) = Placement::restore(pins.clone(), short_last, pieces) {
            is_sound(&placement, &pins, short_last);
            for piece in 0..7 {
                placement.plan(PieceIndex(piece)).iter().for_each(|step| placement.apply(step));
                is_sound(&placement, &pins, short_last);
            }
            prop_assert!((0..7).all(|piece| placement.slot_of(PieceIndex(piece)) == Some(PieceIndex(piece))));
        }
    }
}

#[test]
fn impossible_placements_are_refused() {
    let restore = |held: &[Option<u32>]| {
        Placement::restore(pinned(4, 0b0010), true, held.iter().map(|piece| piece.map(PieceIndex)))
    };
    assert!(restore(&[Some(2), Some(1), None, None]).is_some());
    for (held, why) in [
        (&[Some(2), Some(1), None][..], "too few"),
        (&[None; 5], "too many"),
        (&[Some(4), None, None, None], "no such piece"),
        (&[Some(2), None, Some(2), None], "in two slots"),
        (&[Some(1), None, None, None], "a pinned piece elsewhere"),
        (&[None, Some(2), None, None], "in the slot of a pinned piece"),
        (&[None, None, None, Some(0)], "too long for the last slot"),
        (&[Some(2), Some(1), Some(0), None], "in each other's slots"),
    ] {
        assert_eq!(restore(held), None, "{why}");
    }
}
