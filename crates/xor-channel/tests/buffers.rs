//! What a channel allocates while large frames pass: nothing that grows with them.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use xor_channel::hello::Hello;
use xor_channel::tls::{Keys, Lanes, Meeting, Role, STRIPE_BYTES, public_key};
use xor_channel::{Channel, ChannelError};

/// The system's allocator, with the largest request so far.
struct Watched(AtomicUsize);

#[global_allocator]
static WATCHED: Watched = Watched(AtomicUsize::new(0));

// SAFETY: every request goes to the system's allocator as it is.
#[allow(unsafe_code, reason = "only an allocator sees what is allocated")]
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from `System`, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn meet(role: Role, sockets: Vec<TcpStream>) -> Lanes {
    let side = u8::from(role == Role::Dialer);
    let keys = Keys {
        own_seed: [side; 32],
        expected_peer: public_key(&[side ^ 1; 32]).unwrap(),
    };
    let meeting = Meeting {
        role,
        keys: &keys,
        hello: Hello {
            plan_hash: [7; 32],
            node: 3,
            side,
            lane: 0,
        },
        stall_timeout: Duration::from_secs(60),
    };
    let mut sockets = sockets.into_iter();
    Lanes::meet(&meeting, 2, &mut |_| Ok::<_, ChannelError>(sockets.next())).unwrap()
}

#[test]
fn no_allocation_grows_with_a_frame() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (dialed, accepted) = (0..3)
        .map(|_| {
            let dialed = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (dialed, listener.accept().unwrap().0)
        })
        .unzip();
    let other = thread::spawn(move || meet(Role::Listener, accepted));
    let mut one = meet(Role::Dialer, dialed);
    let mut other = other.join().unwrap();
    let (sent, mut received) = (vec![7; 4 << 20], vec![0; 4 << 20]);
    let before = WATCHED.0.swap(0, Ordering::Relaxed);
    assert!(before >= 4 << 20, "the allocator is watched");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..4 {
                one.send(&sent).unwrap();
            }
        });
        for _ in 0..4 {
            other.receive_into(&mut received).unwrap();
        }
    });
    let largest = WATCHED.0.load(Ordering::Relaxed);
    assert!(received == sent);
    assert!(largest <= 2 * STRIPE_BYTES, "{largest} bytes at once");
}
