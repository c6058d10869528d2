//! The body of an answer: data as it comes, then exactly one word on how it ended.

use crate::Served;
use bytes::{Bytes, BytesMut};
use domain::{Error, Kind, Result, Usage};
use futures::{Stream, StreamExt};
use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// A piece of an answer.
#[derive(Debug)]
pub enum Frame {
    /// Bytes for the caller. Of an event stream, always whole events.
    Data(Bytes),
    /// The end; nothing follows. Boxed, so that data, which is far more frequent, is small to hand on.
    End(Box<Outcome>),
}

/// How an answer ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Tokens used.
    pub usage: Option<Usage>,
    /// Whether the model server did not say so, and they are a guess: a token for four bytes of the prompt, and as
    /// [`Progress`] counts for the answer.
    pub is_estimated: bool,
    /// The last `finish_reason`.
    pub finish: Option<String>,
    /// Why the answer is not complete. A caller of a stream has already got it as a last event.
    pub error: Option<Error>,
    /// Who answered, if anybody did.
    pub served: Option<Served>,
}

/// Generated tokens that have been handed on so far, for callers who leave before the end. An event with text counts as at
/// least one token, and as one for eight bytes of text.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Tokens so far.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, tokens: u64) {
        self.0.store(tokens, Ordering::Relaxed);
    }
}

/// A stream of frames. Dropping it aborts the call.
pub struct ModelBody {
    frames: Frames,
    progress: Progress,
}

/// Where frames come from.
enum Frames {
    /// They are still being made.
    Coming(Pin<Box<dyn Stream<Item = Frame> + Send>>),
    /// All is there.
    Whole(Bytes, Box<Outcome>),
    /// Only the end is left.
    Ending(Box<Outcome>),
    Ended,
}

impl ModelBody {
    /// A body of these frames. Frames after an `End` are never seen; without one the answer counts as cut.
    pub fn new(frames: impl Stream<Item = Frame> + Send + 'static) -> Self {
        Self { frames: Frames::Coming(Box::pin(frames)), progress: Progress::default() }
    }

    /// The same body, whose progress is told by `progress`.
    #[must_use]
    pub fn with_progress(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// What has been handed on so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// A body that is all there.
    #[must_use]
    pub fn whole(bytes: Bytes, outcome: Outcome) -> Self {
        Self { frames: Frames::Whole(bytes, Box::new(outcome)), progress: Progress::default() }
    }

    /// What is there, if that is all; else the body as it was.
    ///
    /// # Errors
    /// The body, when its frames are still to come.
    pub fn into_whole(self) -> std::result::Result<(Bytes, Outcome), Self> {
        match self.frames {
            Frames::Whole(bytes, outcome) => Ok((bytes, *outcome)),
            frames => Err(Self { frames, ..self }),
        }
    }

    /// Waits for the whole body.
    ///
    /// # Errors
    /// When it has more than `limit` bytes. An answer that was cut is no error here: see [`Outcome::error`].
    pub async fn collect(mut self, limit: usize) -> Result<(Bytes, Outcome)> {
        let mut bytes = BytesMut::new();
        while let Some(frame) = self.next().await {
            match frame {
                Frame::Data(data) if bytes.len() + data.len() > limit => return Err(too_large(limit)),
                Frame::Data(data) => bytes.extend_from_slice(&data),
                Frame::End(outcome) => return Ok((bytes.freeze(), *outcome)),
            }
        }
        Ok((bytes.freeze(), cut()))
    }
}

fn too_large(limit: usize) -> Error {
    Error::new(Kind::BadUpstream, format!("The model's answer is larger than the {limit} bytes allowed."))
}

fn cut() -> Outcome {
    let error = Error::new(Kind::BadUpstream, "The answer was cut before its end.").with_code("answer_incomplete");
    Outcome { error: Some(error), ..Outcome::default() }
}

impl Stream for ModelBody {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        if let Frames::Coming(frames) = &mut self.frames {
            let frame =
                std::task::ready!(frames.as_mut().poll_next(context)).unwrap_or_else(|| Frame::End(Box::new(cut())));
            if matches!(frame, Frame::End(_)) {
                self.frames = Frames::Ended;
            }
            return Poll::Ready(Some(frame));
        }
        Poll::Ready(match std::mem::replace(&mut self.frames, Frames::Ended) {
            Frames::Whole(bytes, outcome) => {
                self.frames = Frames::Ending(outcome);
                Some(Frame::Data(bytes))
            }
            Frames::Ending(outcome) => Some(Frame::End(outcome)),
            Frames::Coming(_) | Frames::Ended => None,
        })
    }
}

impl fmt::Debug for ModelBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    #[tokio::test]
    async fn nothing_follows_the_end() {
        let end = || Frame::End(Box::default());
        let body = ModelBody::new(stream::iter([Frame::Data("a".into()), end(), Frame::Data("b".into()), end()]));

        let frames: Vec<_> = StreamExt::collect(body).await;

        assert!(matches!(&frames[..], [Frame::Data(_), Frame::End(_)]), "{frames:?}");
    }

    #[tokio::test]
    async fn a_body_without_an_end_counts_as_cut() {
        let body = ModelBody::new(stream::iter([Frame::Data("a".into())]));

        let (bytes, outcome) = body.collect(10).await.unwrap();

        assert_eq!(bytes, "a");
        assert_eq!(outcome.error.unwrap().code(), Some("answer_incomplete"));
    }

    #[tokio::test]
    async fn a_whole_body_reads_like_any_other_and_can_be_taken_at_once() {
        let frames: Vec<_> = StreamExt::collect(ModelBody::whole("abc".into(), Outcome::default())).await;
        let taken = ModelBody::whole("abc".into(), Outcome::default()).into_whole();
        let coming = ModelBody::new(stream::iter([Frame::Data("abc".into())])).into_whole();

        assert!(matches!(&frames[..], [Frame::Data(_), Frame::End(_)]), "{frames:?}");
        assert_eq!(taken.unwrap().0, "abc");
        assert_eq!(coming.unwrap_err().collect(10).await.unwrap().0, "abc");
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        let body = ModelBody::whole("abc".into(), Outcome::default());

        assert_eq!(body.collect(2).await.unwrap_err().kind(), Kind::BadUpstream);
    }
}
