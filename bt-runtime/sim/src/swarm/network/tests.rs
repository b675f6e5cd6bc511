use std::sync::atomic::{AtomicUsize, Ordering};

use bt_api::Instant;
use futures::{AsyncReadExt, AsyncWriteExt};

use super::super::executor::Executor;
use super::*;

const DELAY: Duration = Duration::from_millis(50);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A network and what runs on it.
struct Lab {
    clock: Arc<Clock>,
    network: Arc<Network>,
    executor: Executor,
    said: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    fn new() -> Self {
        let clock = Arc::<Clock>::default();
        let network = Network::new(clock.clone(), DELAY);
        network.call("Server.lab", SERVER);
        Self { executor: Executor::new(clock.clone()), network, clock, said: Arc::default() }
    }

    /// Runs `work`, and notes what it says and when, in milliseconds.
    fn start(&self, work: impl Future<Output = String> + Send + 'static) {
        let (clock, said) = (self.clock.clone(), self.said.clone());
        self.clock.start(Box::pin(async move {
            let text = work.await;
            let at = (clock.now() - Instant::ZERO).as_millis();
            said.lock().unwrap().push(format!("{at}: {text}"));
        }));
    }

    /// Everything that was said, once nobody waits for a time any more.
    fn run(mut self) -> Vec<String> {
        let mut now = Instant::ZERO;
        loop {
            self.executor.run(now).unwrap();
            match self.executor.next_at() {
                Some(next) => now = next,
                None => return std::mem::take(&mut self.said.lock().unwrap()),
            }
        }
    }
}

#[test]
fn bytes_go_both_ways_each_a_delay_later() {
    let lab = Lab::new();
    let (clock, network) = (lab.clock.clone(), lab.network.clone());
    lab.network.listen((SERVER, 80).into(), move |from, mut wire| {
        assert_eq!(from.ip(), CLIENT);
        clock.start(Box::pin(async move {
            let mut word = [0; 4];
            wire.read_exact(&mut word).await.unwrap();
            wire.write_all(&word).await.unwrap();
            wire.write_all(b"!").await.unwrap();
        }));
        true
    });
    lab.start(async move {
        let mut wire = network.connect(CLIENT, "server.LAB".to_owned(), 80).await.unwrap();
        wire.write_all(b"ec").await.unwrap();
        wire.write_all(b"ho").await.unwrap();
        let mut all = String::new();
        wire.read_to_string(&mut all).await.unwrap();
        assert_eq!(wire.read(&mut [0]).await.unwrap(), 0, "the end stays the end");
        all
    });
    // To connect there and back, the word there and back.
    assert_eq!(lab.run(), ["200: echo!"]);
}

#[test]
fn where_nobody_is_connections_are_refused() {
    let lab = Lab::new();
    lab.network.listen((SERVER, 81).into(), |_, _| false);
    for (name, port) in
        [("server.lab", 80), ("server.lab", 81), ("10.0.0.7", 80), ("other.lab", 80), ("::1", 80)]
    {
        let connecting = lab.network.clone().connect(CLIENT, name.to_owned(), port);
        lab.start(async move { connecting.await.err().expect("nobody is there").to_string() });
    }
    let nobody = "in this simulation nobody";
    assert_eq!(
        lab.run(),
        [
            format!("0: {nobody} is other.lab"),
            format!("100: {nobody} takes connections at server.lab:80"),
            format!("100: {nobody} takes connections at server.lab:81"),
            format!("100: {nobody} takes connections at 10.0.0.7:80"),
            format!("100: {nobody} takes connections at ::1:80"),
        ]
    );
}

#[test]
fn who_sends_much_waits_for_the_reader_and_learns_that_he_is_gone() {
    let lab = Lab::new();
    let (clock, network) = (lab.clock.clone(), lab.network.clone());
    let written = Arc::new(AtomicUsize::new(0));
    let counted = written.clone();
    lab.network.listen((SERVER, 80).into(), move |_, mut wire| {
        let (napping, written) = (clock.clone(), written.clone());
        clock.start(Box::pin(async move {
            napping.sleep_until(Instant::from_secs(10)).await;
            let so_far = written.load(Ordering::Relaxed);
            assert!((100_000..1_000_000).contains(&so_far), "{so_far} bytes are on their way");
            let mut bytes = vec![0; 500_000];
            wire.read_exact(&mut bytes).await.unwrap();
            assert!(bytes.iter().all(|byte| *byte == 7));
        }));
        true
    });
    lab.start(async move {
        let mut wire = network.connect(CLIENT, "server.lab".to_owned(), 80).await.unwrap();
        for _ in 0..1000 {
            if let Err(error) = wire.write_all(&[7; 10_000]).await {
                return error.kind().to_string();
            }
            counted.fetch_add(10_000, Ordering::Relaxed);
        }
        "nobody stopped it".to_owned()
    });
    let said = lab.run();
    assert!(said.len() == 1 && said[0].ends_with("broken pipe"), "{said:?}");
}

#[test]
fn datagrams_reach_who_is_bound_and_are_lost_elsewhere() {
    let lab = Lab::new();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let peer = Ipv4Addr::new(10, 0, 0, 2);
    let [one, two] = [CLIENT, peer].map(|own| lab.network.bind(own, any).unwrap());
    let to = two.local_address().unwrap();
    assert_eq!(to, SocketAddr::from((peer, FIRST_DYNAMIC)));
    lab.start(async move {
        for place in ["10.0.0.2:1", "10.0.0.3:49152", "192.0.2.9:1"] {
            one.send_to(b"lost", place.parse().unwrap()).await.unwrap();
        }
        assert!(one.send_to(b"x", "[::1]:1".parse().unwrap()).await.is_err());
        assert!(one.send_to(&vec![0; 65508], to).await.is_err());
        one.send_to(b"first", to).await.unwrap();
        one.send_to(b"second", to).await.unwrap();
        "sent".to_owned()
    });
    lab.start(async move {
        let (mut bytes, mut all) = ([0; 5], String::new());
        for _ in 0..2 {
            let (length, from) = two.receive_from(&mut bytes).await.unwrap();
            assert_eq!(from, SocketAddr::from((CLIENT, FIRST_DYNAMIC)));
            all += std::str::from_utf8(&bytes[..length]).unwrap();
        }
        all
    });
    assert_eq!(lab.run(), ["0: sent", "50: firstsecon"]);
}

#[test]
fn a_crowd_is_heard_at_once_and_who_does_not_listen_loses_what_is_too_much() {
    let lab = Lab::new();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let [one, two] = [CLIENT, SERVER].map(|own| lab.network.bind(own, any).unwrap());
    let (to, clock) = (two.local_address().unwrap(), lab.clock.clone());
    lab.start(async move {
        for second in 0..2 {
            clock.sleep_until(Instant::from_secs(second)).await;
            for _ in 0..5000 {
                one.send_to(b"", to).await.unwrap();
            }
        }
        "sent".to_owned()
    });
    let clock = lab.clock.clone();
    lab.start(async move {
        clock.sleep_until(Instant::from_secs(2)).await;
        let mut count = 0;
        while futures::FutureExt::now_or_never(two.receive_from(&mut [])).is_some() {
            count += 1;
        }
        count.to_string()
    });
    // Those of the first second were under way together; those of the next found them waiting.
    assert_eq!(lab.run(), ["1000: sent", "2000: 5000"]);
}

#[test]
fn a_socket_is_bound_once_and_only_at_the_peers_own_address() {
    let lab = Lab::new();
    let bind = |text: &str| lab.network.bind(CLIENT, text.parse().unwrap());
    let first = bind("10.0.0.1:6881").unwrap();
    assert_eq!(bind("0.0.0.0:6881").err().unwrap().kind(), ErrorKind::AddrInUse);
    for other in ["10.0.0.2:6881", "[::]:0", "127.0.0.1:0"] {
        assert_eq!(bind(other).err().unwrap().kind(), ErrorKind::AddrNotAvailable, "{other}");
    }
    drop(first);
    assert!(bind("0.0.0.0:6881").is_ok());
}
