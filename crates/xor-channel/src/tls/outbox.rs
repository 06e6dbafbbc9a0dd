//! Records on their way to the socket, written by a thread of their own.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{PROGRESS_BYTES, from_io, stalled};
use crate::ChannelError;

/// Protocols send less than this before they read; one that sends more waits here. Units: bytes.
const CAPACITY_BYTES: usize = 1 << 27;

#[derive(Default)]
struct Queue {
    records: VecDeque<Vec<u8>>,
    /// Not yet taken by the socket, the record being written included. Units: bytes.
    pending_bytes: usize,
    error: Option<io::Error>,
    is_abandoned: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    // No code panics while it holds the lock, and each change keeps the queue whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end. Dropping it ends the thread once the socket is shut down or idle.
pub(super) struct Outbox {
    shared: Arc<Shared>,
}

impl Outbox {
    pub(super) fn start(stream: &TcpStream) -> Result<Self, ChannelError> {
        let stream = stream.try_clone().map_err(ChannelError::Io)?;
        // Whether a peer that does not read is stalled or busy is judged by who waits for it.
        stream.set_write_timeout(None).map_err(ChannelError::Io)?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("xor-channel-write".into())
            .spawn(move || write_all(&of_thread, stream))
            .map_err(ChannelError::Io)?;
        Ok(Self { shared })
    }

    /// Queues records; waits only above the capacity.
    pub(super) fn post(&self, records: Vec<u8>, stall_timeout: Duration) -> Result<(), ChannelError> {
        let mut queue = self.wait_below(CAPACITY_BYTES, stall_timeout)?;
        queue.pending_bytes += records.len();
        queue.records.push_back(records);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until the socket took everything.
    pub(super) fn flush(&self, stall_timeout: Duration) -> Result<(), ChannelError> {
        self.wait_below(1, stall_timeout).map(drop)
    }

    /// Waits as long as `PROGRESS_BYTES` leave within each stall timeout: a peer that reads a byte now and
    /// then is stalled.
    fn wait_below(
        &self,
        bytes: usize,
        stall_timeout: Duration,
    ) -> Result<MutexGuard<'_, Queue>, ChannelError> {
        let mut queue = self.shared.lock();
        loop {
            if let Some(error) = &queue.error {
                return Err(from_io(error.kind().into()));
            }
            let before = queue.pending_bytes;
            if before < bytes {
                return Ok(queue);
            }
            let goal = before.saturating_sub(PROGRESS_BYTES).max(bytes - 1);
            let is_waiting = |queue: &mut Queue| queue.pending_bytes > goal && queue.error.is_none();
            let (woken, waited) = self
                .shared
                .changed
                .wait_timeout_while(queue, stall_timeout, is_waiting)
                .unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Err(stalled(stall_timeout));
            }
            queue = woken;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.lock().is_abandoned = true;
        self.shared.changed.notify_all();
    }
}

/// The thread: ends when the outbox is dropped or the socket fails.
fn write_all(shared: &Shared, mut stream: TcpStream) {
    while let Some(records) = next(shared) {
        let mut written = 0;
        while let Some(rest) = records.get(written..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(0) => return fail(shared, io::ErrorKind::BrokenPipe.into()),
                Ok(count) => {
                    written += count;
                    shared.lock().pending_bytes -= count;
                    shared.changed.notify_all();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return fail(shared, error),
            }
        }
    }
}

fn next(shared: &Shared) -> Option<Vec<u8>> {
    let is_idle = |queue: &mut Queue| queue.records.is_empty() && !queue.is_abandoned;
    let mut queue = shared
        .changed
        .wait_while(shared.lock(), is_idle)
        .unwrap_or_else(PoisonError::into_inner);
    if queue.is_abandoned {
        None
    } else {
        queue.records.pop_front()
    }
}

fn fail(shared: &Shared, error: io::Error) {
    let mut queue = shared.lock();
    queue.error = Some(error);
    queue.records.clear();
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(200);
    /// So many waits that whoever takes each of them anew is found out.
    const READS: usize = 40;

    /// Whether all leaves in time, if the socket takes `step` bytes every tenth of a stall timeout.
    fn flush_while_leaving(step: usize) -> Result<(), ChannelError> {
        let shared = Arc::new(Shared::default());
        shared.lock().pending_bytes = READS * step;
        let outbox = Outbox {
            shared: Arc::clone(&shared),
        };
        let writer = thread::spawn(move || {
            for _ in 0..READS {
                thread::park_timeout(SHORT / 10);
                shared.lock().pending_bytes -= step;
                shared.changed.notify_all();
            }
        });
        let flushed = outbox.flush(SHORT);
        assert!(writer.join().is_ok());
        flushed
    }

    #[test]
    fn a_peer_that_reads_a_little_now_and_then_is_stalled() {
        assert!(matches!(
            flush_while_leaving(1 + PROGRESS_BYTES / 20),
            Err(ChannelError::Stalled { .. })
        ));
        assert!(flush_while_leaving(PROGRESS_BYTES).is_ok());
    }
}
