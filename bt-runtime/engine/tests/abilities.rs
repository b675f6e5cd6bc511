//! What the traits must be able to say: for each ability a tiny policy that needs exactly it, in a swarm of
//! unmodified engines.

mod common;

#[path = "abilities/choking.rs"]
mod choking;
#[path = "abilities/picking.rs"]
mod picking;
#[path = "abilities/wrong.rs"]
mod wrong;
