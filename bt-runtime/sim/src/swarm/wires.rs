//! What goes over the network besides blocks: messages, the beginnings and ends of connections, announces.

use std::time::Duration;

use bt_api::{Announce, AnnounceReply, BlockRef, Instant, PeerKey, PieceIndex};
use bt_engine::wire::Message;
use bt_engine::{CloseReason, Input, Target};

use super::agenda::Class;
use super::{Swarm, address_of, node_at};

/// The least that a message takes.
pub(super) const SHORTEST: Duration = Duration::from_nanos(1);

/// Something on its way. `peer` is the receiver's key of the connection.
pub(super) enum Mail {
    /// Nothing: its place is free.
    Free,
    /// A message.
    Message { to: u32, peer: PeerKey, message: Message },
    /// One piece, announced to many.
    Haves { piece: PieceIndex, to: Vec<(u32, PeerKey)> },
    /// The end of a block.
    Block { to: u32, peer: PeerKey, block: BlockRef },
    /// A connection is asked for; `peer` is the key of it at `from`.
    Dial { from: u32, peer: PeerKey, to: u32 },
    /// Nobody is there.
    Refused { to: u32, peer: PeerKey },
    /// The other end's handshake.
    Handshake { to: u32, peer: PeerKey, from: u32 },
    /// The other end closed.
    Closed { to: u32, peer: PeerKey },
    /// An announce arrives at the tracker.
    Announce { from: u32, tag: u64, announce: Box<Announce> },
    /// Plug-ins that sleep are to wake.
    Sleepers,
    /// The tracker's reply.
    Reply { to: u32, tag: u64, reply: Box<AnnounceReply> },
}

impl Swarm<'_> {
    /// Has `mail` of `from` arrive after `delays` times the delay. Without one it takes the least there is: so no delay is
    /// the limit of short ones. If all of a talk were in one instant, a crowd would have its talks one after another, not
    /// all at once, and everybody would have asked the seed before the next one's interest makes it choke him.
    pub(super) fn post(&mut self, from: u32, delays: u32, mail: Mail) {
        self.post_at(self.now + self.scenario.network.delay.max(SHORTEST) * delays, from, mail);
    }

    /// Has `mail` of `from` arrive at this time.
    pub(super) fn post_at(&mut self, at: Instant, from: u32, mail: Mail) {
        let place = match self.free_mail.pop() {
            Some(place) => {
                self.mail[place as usize] = mail;
                place
            }
            None => {
                self.mail.push(mail);
                self.mail.len() as u32 - 1
            }
        };
        self.agenda.put(at, Class::Mail, from, u64::from(place));
    }

    pub(super) fn deliver(&mut self, place: u32) {
        let mail = std::mem::replace(&mut self.mail[place as usize], Mail::Free);
        self.free_mail.push(place);
        match mail {
            Mail::Free => unreachable!("mail is delivered once"),
            // An engine takes no notice of what comes from a peer that it closed.
            Mail::Message { to, peer, message } => self.feed(to, Input::Message { peer, message }),
            Mail::Haves { piece, mut to } => {
                for (node, peer) in to.drain(..) {
                    self.feed(node, Input::Message { peer, message: Message::Have(piece) });
                }
                self.spare_list = to;
            }
            Mail::Block { to, peer, block } => self.arrived(to, peer, block),
            Mail::Dial { from, peer, to } => self.dialled(from, peer, to),
            Mail::Refused { to, peer } => {
                self.cut(to, peer, CloseReason::Connect("nobody is there".to_owned()))
            }
            Mail::Handshake { to, peer, from } => self.greeted(to, peer, from),
            Mail::Closed { to, peer } => self.cut(to, peer, CloseReason::Remote),
            Mail::Announce { from, tag, announce } => {
                let Self { tracker, nodes, .. } = self;
                let reply = tracker.announce(from, &announce, &mut nodes[from as usize].named);
                self.post(from, 1, Mail::Reply { to: from, tag, reply: Box::new(reply) });
            }
            // They run after everything that happens.
            Mail::Sleepers => _ = self.plugins.as_mut().map(|plugins| plugins.woken()),
            Mail::Reply { to, tag, reply } => self.feed(to, Input::Announced { tag, result: Ok(reply) }),
        }
    }

    /// Sends a message, or what stands for it if the content is coded.
    pub(super) fn send(&mut self, node: u32, peer: PeerKey, message: Message) {
        if let Some(stores) = self.stores()
            && stores.holds(node, peer, &message)
        {
            return;
        }
        if self.coded.is_none() {
            return self.pass_on(node, peer, message);
        }
        for message in self.translated(node, peer, message) {
            self.pass_on(node, peer, message);
        }
    }

    /// Sends a message, unless it must wait for the block before it: only a choke must, and what comes behind it.
    pub(super) fn pass_on(&mut self, node: u32, peer: PeerKey, message: Message) {
        let Some(connection) = self.nodes[node as usize].open(peer) else { return };
        if let Some(sending) = &mut connection.sending
            && sending.block.is_some()
            && (message == Message::Choke || !sending.held.is_empty())
        {
            return sending.held.push(message);
        }
        let (other, Some(there)) = (connection.other, connection.there) else { return };
        let Message::Have(piece) = message else {
            self.haves = None;
            return self.post(node, 1, Mail::Message { to: other, peer: there, message });
        };
        if let Some((place, at)) = self.haves
            && at == (self.now, node, piece)
            && let Mail::Haves { to, .. } = &mut self.mail[place as usize]
        {
            return to.push((other, there));
        }
        let mut to = std::mem::take(&mut self.spare_list);
        to.push((other, there));
        let place = self.free_mail.last().copied().unwrap_or(self.mail.len() as u32);
        self.haves = Some((place, (self.now, node, piece)));
        self.post(node, 1, Mail::Haves { piece, to });
    }

    /// `node` connects: a request to connect takes the delay, its answer too.
    pub(super) fn dial(&mut self, node: u32, peer: PeerKey, address: std::net::SocketAddr) {
        let connection = self.nodes[node as usize].connect(peer);
        connection.open = true;
        match node_at(address) {
            Some(to) => {
                self.nodes[node as usize].connect(peer).other = to;
                self.post(node, 1, Mail::Dial { from: node, peer, to });
            }
            None => self.post(node, 2, Mail::Refused { to: node, peer }),
        }
    }

    /// A connection of `from` comes in at `to`.
    fn dialled(&mut self, from: u32, peer: PeerKey, to: u32) {
        if self.nodes[from as usize].open(peer).is_none() {
            return;
        }
        let there = match self.nodes.get_mut(to as usize) {
            Some(node) if node.present => node.engine.as_mut().map(bt_engine::Engine::new_peer),
            _ => None,
        };
        let Some(there) = there else { return self.post(from, 1, Mail::Refused { to: from, peer }) };
        let connection = self.nodes[to as usize].connect(there);
        (connection.other, connection.there) = (from, Some(peer));
        (connection.open, connection.incoming) = (true, true);
        self.nodes[from as usize].connect(peer).there = Some(there);
        self.feed(to, Input::Incoming { peer: there, address: address_of(from) });
        if self.nodes[to as usize].open(there).is_some() {
            // Once the connection stands at `from`, it sends its handshake.
            self.post(from, 2, Mail::Handshake { to, peer: there, from });
        }
    }

    /// The other's handshake came: offers of extensions count where both make them.
    fn greeted(&mut self, node: u32, peer: PeerKey, from: u32) {
        if self.nodes[node as usize].open(peer).is_none() {
            return;
        }
        if self.nodes[node as usize].fast && self.nodes[from as usize].fast {
            self.feed(node, Input::Fast { peer });
        }
        let id = self.nodes[from as usize].id;
        self.feed(node, Input::Handshake { peer, id });
    }

    /// `node` takes a peer: the one that was dialled answers the handshake.
    pub(super) fn accept(&mut self, node: u32, peer: PeerKey) {
        let Some(connection) = self.nodes[node as usize].open(peer) else { return };
        if let (true, other, Some(there)) = (connection.incoming, connection.other, connection.there) {
            self.post(node, 1, Mail::Handshake { to: other, peer: there, from: node });
        }
    }

    /// `node` closes a connection; the other end learns of it after the delay.
    pub(super) fn close(&mut self, node: u32, peer: PeerKey) {
        let Some(connection) = self.nodes[node as usize].open(peer) else { return };
        connection.open = false;
        let (other, there) = (connection.other, connection.there);
        self.forget_payload(node, peer);
        self.abort(node, peer);
        if let Some(there) = there {
            self.post(node, 1, Mail::Closed { to: other, peer: there });
        }
    }

    /// The other end of a connection is gone.
    fn cut(&mut self, node: u32, peer: PeerKey, reason: CloseReason) {
        let Some(connection) = self.nodes[node as usize].open(peer) else { return };
        connection.open = false;
        self.forget_payload(node, peer);
        self.abort(node, peer);
        self.feed(node, Input::Closed { peer, reason });
    }

    /// `node` announces itself: through its clients, if they take part.
    pub(super) fn ask_tracker(&mut self, node: u32, tag: u64, target: Target, announce: Box<Announce>) {
        match self.announcing() {
            Some(announcing) => announcing.ask(node, tag, target, announce),
            None => self.post(node, 1, Mail::Announce { from: node, tag, announce }),
        }
    }

    /// A connection is closed: what was read for it, and what is on its way to this end, is lost.
    fn forget_payload(&mut self, node: u32, peer: PeerKey) {
        if let Some(stores) = self.stores() {
            stores.forget(node, peer);
        }
    }
}
