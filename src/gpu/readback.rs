//! Reading back without blocking: a future per read, and a thread that polls the device.

use std::future::Future;
use std::pin::Pin;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};

/// Polls the device on its own thread, so that code that awaits a read need not. A browser does
/// this itself.
#[derive(Debug)]
pub(super) struct Poller {
    #[cfg(not(target_arch = "wasm32"))]
    wake: Option<Sender<wgpu::SubmissionIndex>>,
    #[cfg(not(target_arch = "wasm32"))]
    thread: Option<std::thread::JoinHandle<()>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Poller {
    /// Waits for the thread: a driver that is unloaded while a thread still polls it crashes.
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Poller {
    /// Starts the thread; it ends when the poller is dropped.
    pub(super) fn new(device: wgpu::Device) -> Self {
        #[cfg(target_arch = "wasm32")]
        {
            drop(device);
            Self {}
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            let (wake, woken) = channel();
            let thread = std::thread::spawn(move || {
                while let Ok(submission) = woken.recv() {
                    // Not for the last work, which may be another engine's.
                    let wait =
                        wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
                    if let Err(error) = device.poll(wait) {
                        log::error!("while waiting for the device: {error}");
                    }
                }
            });
            Self { wake: Some(wake), thread: Some(thread) }
        }
    }

    /// Tells the thread that work was submitted whose result is awaited.
    pub(super) fn submitted(&self, submission: wgpu::SubmissionIndex) {
        #[cfg(target_arch = "wasm32")]
        drop(submission);
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(wake) = &self.wake {
            // The thread ends only with the poller itself, so the message always arrives.
            let _ = wake.send(submission);
        }
    }
}

#[derive(Debug, Default)]
struct Arrival {
    result: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

/// Bytes on their way from the device: a future.
#[derive(Debug)]
pub struct Readback {
    staging: wgpu::Buffer,
    bytes: u64,
    arrival: Arc<Mutex<Arrival>>,
}

impl Readback {
    /// Maps the first `bytes` of `staging` once the work submitted so far is done.
    pub(super) fn new(staging: wgpu::Buffer, bytes: u64) -> Self {
        let arrival = Arc::new(Mutex::new(Arrival::default()));
        let sender = Arc::clone(&arrival);
        staging.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            let waker = sender.lock().ok().and_then(|mut arrival| {
                arrival.result = Some(result);
                arrival.waker.take()
            });
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        Self { staging, bytes, arrival }
    }

    /// Gives the staging buffer back for the next read.
    pub(super) fn into_staging(self) -> wgpu::Buffer {
        self.staging
    }
}

impl Future for &mut Readback {
    type Output = Result<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut arrival) = self.arrival.lock() else {
            return Poll::Ready(Err(Error::Device("a thread failed during a read".to_owned())));
        };
        match arrival.result.take() {
            None => {
                arrival.waker = Some(context.waker().clone());
                Poll::Pending
            }
            Some(Err(error)) => Poll::Ready(Err(Error::Device(format!("reading back: {error}")))),
            Some(Ok(())) => {
                let view = self.staging.slice(..self.bytes).get_mapped_range();
                let bytes = view.map(|view| view.to_vec());
                self.staging.unmap();
                Poll::Ready(bytes.map_err(|e| Error::Device(format!("reading back: {e:?}"))))
            }
        }
    }
}
