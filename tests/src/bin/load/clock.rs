//! A clock that ticks several times a millisecond where the kernel has one; the runtime's tells no less than a millisecond apart.

use std::{io, time::Duration};

#[cfg(target_os = "linux")]
pub(crate) struct Clock(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Clock {
    pub(crate) fn every(gap: Duration) -> io::Result<Self> {
        use nix::sys::{
            time::TimeSpec,
            timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
        };
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        timer.set(Expiration::Interval(TimeSpec::from_duration(gap)), TimerSetTimeFlags::empty())?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for descriptors that may be closed meanwhile: this one is owned"
        )]
        tokio::io::unix::AsyncFd::new(timer.into()).map(Self)
    }

    /// Waits for the next tick, or for less.
    pub(crate) async fn tick(&mut self) -> io::Result<()> {
        let count = |fd: &std::os::fd::OwnedFd| Ok(nix::unistd::read(fd, &mut [0; size_of::<u64>()])?);
        // Too early to read is no failure: it is asked again once there is something.
        let _ = self.0.readable().await?.try_io(|fd| count(fd.get_ref()));
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) struct Clock(tokio::time::Interval);

#[cfg(not(target_os = "linux"))]
impl Clock {
    pub(crate) fn every(gap: Duration) -> io::Result<Self> {
        Ok(Self(tokio::time::interval(gap)))
    }

    /// Waits for the next tick.
    pub(crate) async fn tick(&mut self) -> io::Result<()> {
        self.0.tick().await;
        Ok(())
    }
}
