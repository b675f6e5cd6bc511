//! Every client and source keeps what the trait promises, on a scripted network in virtual time.

use bt_api::plugin::Plugin;
use bt_api::testkit::tracker::Subject;
use bt_api::testkit::tracker_conformance;
use bt_policies::tracker::peer_file::{Config, PeerFile};

#[cfg(feature = "http")]
tracker_conformance!(http: bt_policies::tracker::http::Http);
#[cfg(feature = "http")]
bt_api::testkit::http_tracker_conformance!(http_catalogue: bt_policies::tracker::http::Http, "", "max-reply = \"16 KiB\"\ntimeout = \"30 s\"");

tracker_conformance!(
    peer_file = Subject::new(PeerFile::NAME, || {
        PeerFile::build(Config { path: "/nowhere/at-all.txt".into(), ..Config::default() }).unwrap()
    })
);

// Nothing is asked, whatever the URL: no network is missed.
tracker_conformance!(none: bt_policies::tracker::none::NoTracker);
tracker_conformance!(lsd: bt_policies::tracker::lsd::Lsd);
tracker_conformance!(udp: bt_policies::tracker::udp::Udp);
