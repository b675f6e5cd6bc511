//! A choke policy that a test opens and shuts: it serves everyone, or no one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bt_api::{
    Cause, ChokePolicy, Instant, Notice, PeerEvent, Reason, Rng, Serve, SwarmView, Unchokes, Waiting,
};

/// Serves everyone while it is open; looks every second, and whenever somebody connects.
pub struct Everyone {
    pub open: Arc<AtomicBool>,
    pub next: Instant,
}

impl Everyone {
    pub fn boxed() -> Box<dyn ChokePolicy> {
        Self::switched().0
    }

    /// With its switch.
    pub fn switched() -> (Box<dyn ChokePolicy>, Arc<AtomicBool>) {
        let open = Arc::new(AtomicBool::new(true));
        (Box::new(Self { open: open.clone(), next: Instant::ZERO }), open)
    }
}

impl ChokePolicy for Everyone {
    fn next_round(&self) -> Instant {
        self.next
    }

    fn max_interested(&self) -> usize {
        usize::MAX
    }

    fn notice(&mut self, _: Instant, event: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        if matches!(event, PeerEvent::Connected(_)) { Notice::Rechoke } else { Notice::Nothing }
    }

    fn choose(
        &mut self,
        now: Instant,
        _: Cause,
        swarm: &SwarmView<'_>,
        _: &mut dyn Rng,
        unchokes: &mut Unchokes,
    ) {
        self.next = now + Duration::from_secs(1);
        if self.open.load(Ordering::Relaxed) {
            swarm.peers().iter().for_each(|peer| unchokes.push(peer.key, Reason::EVERYONE));
        }
    }

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::ByShare
    }
}
