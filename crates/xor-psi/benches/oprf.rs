//! Seconds of one exchange over VOLE, one thread per player, in memory or over TLS on loopback, in both directions or
//! one: `cargo bench -p xor-psi --bench oprf [-- log2 of keys, runs, tls, one]`.
#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use xor_base::kernels::memory as memory_of_job;
use xor_channel::Channel;
use xor_channel::memory;
use xor_channel::tls::{Keys, Role, TlsChannel, public_key};
use xor_psi::oprf::vole::VoleOprf;
use xor_psi::oprf::{Directions, Input, Oprf, Side, Sizes};

/// On the clock, on the processor, bytes sent; of each run.
type Times = Vec<(Duration, Duration, u64)>;

fn inputs(numbers: std::ops::Range<u64>) -> Vec<Input> {
    let input = |number: u64| *blake3::hash(&number.to_le_bytes()).as_bytes();
    numbers.map(input).collect()
}

/// What this thread has run, where the system tells: other work on the machine does not count into it.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = stat.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(spent.unwrap_or(0))
}

fn player(
    (side, directions): (Side, Directions),
    inputs: &[Input],
    runs: usize,
    mut channel: impl Channel,
) -> Times {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build()
        .unwrap();
    pool.install(|| {
        let sizes = Sizes {
            own: inputs.len(),
            peer: inputs.len(),
        };
        let mut oprf = VoleOprf::new();
        (0..runs)
            .map(|_| {
                let (clock, before) = (Instant::now(), processor());
                let sent = channel.meter().sent_bytes;
                oprf.evaluate(side, directions, inputs, sizes, &mut channel, &mut |_| {
                    ControlFlow::Continue(())
                })
                .unwrap();
                (
                    clock.elapsed(),
                    processor().saturating_sub(before),
                    channel.meter().sent_bytes - sent,
                )
            })
            .collect()
    })
}

/// Both players: what the left one evaluates, on which keys, how often, over which channel.
fn both<C: Channel>(
    directions: Directions,
    [left, right]: [&[Input]; 2],
    runs: usize,
    [to_right, to_left]: [C; 2],
) -> (Times, Times) {
    let opposite = match directions {
        Directions::Both => Directions::Both,
        Directions::Receive => Directions::Serve,
        Directions::Serve => Directions::Receive,
    };
    thread::scope(|scope| {
        let other = scope.spawn(move || player((Side::Right, opposite), right, runs, to_left));
        let one = player((Side::Left, directions), left, runs, to_right);
        (one, other.join().unwrap())
    })
}

fn tls_pair() -> [TlsChannel; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialed = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let keys = |own: u8, peer: u8| Keys {
        own_seed: [own; 32],
        expected_peer: public_key(&[peer; 32]).unwrap(),
    };
    let patience = Duration::from_secs(60);
    thread::scope(|scope| {
        let other =
            scope.spawn(|| TlsChannel::handshake(dialed, Role::Dialer, &keys(2, 1), patience).unwrap());
        let one = TlsChannel::handshake(accepted, Role::Listener, &keys(1, 2), patience).unwrap();
        [one, other.join().unwrap()]
    })
}

fn main() {
    // As a worker does.
    memory_of_job::keep_freed();
    let mut numbers = std::env::args().filter_map(|word| word.parse().ok());
    let (log, runs) = (numbers.next().unwrap_or(20), numbers.next().unwrap_or(5));
    let count = 1_u64 << log;
    let (left, right) = (inputs(0..count), inputs(count / 2..count + count / 2));
    let is_asked = |word| std::env::args().any(|given| given == word);
    let (directions, what) = match is_asked("one") {
        true => (Directions::Receive, "one direction, the receiver first"),
        false => (Directions::Both, "both directions"),
    };
    let keys = [left.as_slice(), &right];
    let (left, right) = if is_asked("tls") {
        both(directions, keys, runs, tls_pair())
    } else {
        both(directions, keys, runs, memory::pair().into())
    };
    println!("2^{log} keys each, {what}");
    for (run, (left, right)) in left.iter().zip(&right).enumerate() {
        println!(
            "  {run}: {:?} on the clock; on the processor {:?} and {:?}; sent {:.2} and {:.2} bytes per key",
            left.0,
            left.1,
            right.1,
            left.2 as f64 / count as f64,
            right.2 as f64 / count as f64,
        );
    }
}
