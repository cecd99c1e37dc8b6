//! How much time and memory an input may take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The memory that any input may take, and what each of its bytes may add. A chat template may take
/// 32 MB of its own, and is run twice.
const MEMORY: usize = 128 << 20;
const MEMORY_PER_BYTE: usize = 256;

/// The time that any input may take where nothing else slows the machine down, and what each of its
/// bytes may add. A tokenizer's expressions may take a second for a text, and an input has several.
#[allow(
    dead_code,
    reason = "the tests, which run beside each other and without optimization, wait"
)]
pub(crate) const TIME: Duration = Duration::from_secs(3);
const TIME_PER_BYTE: Duration = Duration::from_micros(100);

/// The system's allocator, which counts.
pub(crate) struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn more(bytes: usize) {
    PEAK.fetch_max(NOW.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

#[allow(unsafe_code, reason = "an allocator is unsafe by its nature; this one is the system's")]
// SAFETY: each call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(place, layout, size) }
    }
}

/// How long this thread has computed, whatever else the machine did; `None` where the system does not
/// tell.
fn computed() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// One input at a time, since all threads of the program are counted together.
static TURN: Mutex<()> = Mutex::new(());

/// Gives these bytes to a reader, which must return within this time and within the memory of an
/// input. Of several tries the fastest counts: the machine may have other work.
pub(crate) fn bounded(reader: fn(&[u8]), bytes: &[u8], time: Duration) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let most = MEMORY + MEMORY_PER_BYTE * bytes.len();
    let limit = time + TIME_PER_BYTE * bytes.len() as u32;
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let before = NOW.load(Relaxed);
        PEAK.store(before, Relaxed);
        let start = (Instant::now(), computed());
        reader(bytes);
        let time = match (start.1, computed()) {
            (Some(start), Some(end)) => end.saturating_sub(start),
            _ => start.0.elapsed(),
        };
        fastest = fastest.min(time);
        let taken = PEAK.load(Relaxed).saturating_sub(before);
        assert!(taken <= most, "{taken} bytes of memory for an input of {}", bytes.len());
        if fastest <= limit {
            return;
        }
    }
    panic!("{fastest:?} for an input of {} bytes", bytes.len());
}
