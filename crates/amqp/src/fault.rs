//! What a peer can get wrong.

/// Bytes from the broker that AMQP 0-9-1 does not allow, or not there, or not so many.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A value goes on beyond what it stands in.
    #[error("a value goes on beyond the end of its frame")]
    Truncated,
    /// Something follows where nothing may.
    #[error("bytes follow the last value of a frame")]
    Trailing,
    /// No frame begins so.
    #[error("frame type {kind} does not exist")]
    FrameType {
        /// Its first byte.
        kind: u8,
    },
    /// A frame does not end with 206.
    #[error("a frame ends with {found} instead of 206")]
    FrameEnd {
        /// Its last byte.
        found: u8,
    },
    /// A frame is longer than agreed.
    #[error("a frame of {size} bytes, {limit} were agreed")]
    FrameSize {
        /// Its payload.
        size: usize,
        /// The most it may have.
        limit: usize,
    },
    /// A frame is on a channel on which it cannot be.
    #[error("a frame on channel {channel}, which it does not belong on")]
    Channel {
        /// The channel's number.
        channel: u16,
    },
    /// A method that is not known.
    #[error("method {method} of class {class} is not known")]
    Method {
        /// Its class.
        class: u16,
        /// Its number in the class.
        method: u16,
    },
    /// A method that cannot come now.
    #[error("{method} comes where it does not belong")]
    Unexpected {
        /// Its name.
        method: &'static str,
    },
    /// A content header or body without a method before it, or the other way round.
    #[error("the parts of a message are out of order")]
    Content,
    /// A message that is larger than allowed.
    #[error("a message of {size} bytes, at most {limit} are taken")]
    MessageSize {
        /// Its body.
        size: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// A content header with a property that does not exist.
    #[error("property flags {flags:#06x} are not known")]
    Properties {
        /// The flags.
        flags: u16,
    },
    /// A value of a type that is not known.
    #[error("field type {letter} is not known")]
    ValueType {
        /// Its letter.
        letter: u8,
    },
    /// Tables lie too deep in each other.
    #[error("tables lie too deep in each other")]
    Depth,
    /// What the broker wants cannot be worked with.
    #[error("frames of {frame_max} bytes are too short to work with")]
    Tune {
        /// The longest frame that it takes.
        frame_max: u32,
    },
}
