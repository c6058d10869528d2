//! A streamed answer that stays inside its request's span and count until its last byte.

use super::metrics::InFlight;
use crate::wake::WakeFlag;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tracing::Span;

pub(super) struct Tracked {
    body: Body,
    span: Span,
    flag: WakeFlag,
    _in_flight: InFlight,
}

impl Tracked {
    /// Wraps bodies that are produced over time; those that are there already pass as they are.
    pub(super) fn wrap(body: Body, span: Span, in_flight: InFlight) -> Body {
        if body.size_hint().exact().is_some() {
            return body;
        }
        Body::new(Self { body, span, flag: WakeFlag::default(), _in_flight: in_flight })
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, span, flag, .. } = self.get_mut();
        flag.poll(cx, |cx| {
            let _entered = span.enter();
            Pin::new(&mut *body).poll_frame(cx)
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
