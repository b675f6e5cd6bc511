//! Serves nobody, ever: what a choker must not reward.
//!
//! It takes what others give by chance or from plenty, and gives nothing, neither while it downloads nor as a seed.
//! What else free riders do (many connections, announces without end) is profile keys.
//!
//! `large-view` is the same choker under the name of the exploit whose profile carries it: connect to the whole swarm,
//! upload nothing, and live off the optimistic unchokes of very many peers and off seeds. Nothing of that is the
//! choker's to decide but to serve nobody; a name of its own lets traces and tables tell the two apart.
//!
//! Source: Sirivianos, Park, Chen and Yang, "Free-riding in BitTorrent networks with the large view exploit", IPTPS 2007.

use bt_api::plugin::{BuildError, Choke, Plugin};
use bt_api::{Cause, ChokePolicy, Instant, Notice, PeerEvent, Rng, Serve, SwarmView, Unchokes, Waiting};
use serde::{Deserialize, Serialize};

/// Serves nobody.
#[derive(Debug)]
pub struct FreeRider;

/// Serves nobody, under the name of the large-view exploit.
#[derive(Debug)]
pub struct LargeView;

/// The `[choke]` table: there is nothing to set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {}

impl Plugin for FreeRider {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "free-rider";
    const SUMMARY: &'static str = "serves nobody";

    fn build(_: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        Ok(Box::new(Self))
    }
}
bt_api::register!(FreeRider);

impl Plugin for LargeView {
    type Kind = Choke;
    type Config = Config;
    const NAME: &'static str = "large-view";
    const SUMMARY: &'static str = "serves nobody; its profile connects to everyone";

    fn build(config: Config) -> Result<Box<dyn ChokePolicy>, BuildError> {
        FreeRider::build(config)
    }
}
bt_api::register!(LargeView);

impl ChokePolicy for FreeRider {
    fn next_round(&self) -> Instant {
        Instant::NEVER
    }

    fn max_interested(&self) -> usize {
        0
    }

    fn notice(&mut self, _: Instant, _: PeerEvent<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Notice {
        Notice::Nothing
    }

    fn choose(&mut self, _: Instant, _: Cause, _: &SwarmView<'_>, _: &mut dyn Rng, _: &mut Unchokes) {}

    fn serve(&mut self, _: Instant, _: &Waiting<'_>, _: &SwarmView<'_>, _: &mut dyn Rng) -> Serve {
        Serve::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choke::harness::Client;

    #[test]
    fn nobody_is_served_whatever_it_gives_nor_by_a_seed() {
        let mut client = Client::new(FreeRider, 1);
        client.joined_by("a9 b1 c! d-", |_| (0, 1));
        client.round(Cause::Event);
        client.interest('d', true);
        client.leave('b');
        client.own.is_seed = true;
        client.event(PeerEvent::Completed);
        client.round(Cause::Timer);
        assert_eq!(client.unchoked(), "");
        assert_eq!(client.log.len(), 2, "it asks for no round by itself");
    }
}
