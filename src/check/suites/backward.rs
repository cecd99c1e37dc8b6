//! The ops of training: derivatives, and the optimizer step.

use crate::check::cases::{
    ActivateBackward, AdamW, AttentionBackward, BiasBackward, CastF16, Clip, CrossEntropy, Dropout,
    EmbedBackward, GainBackward, GatedBackward, LinearBackwardW, LinearBackwardX, NormBackward,
    RopeBackward, Sgd, SquareSum,
};

use super::table::{self, Suite, Table, collect};

collect! {
    linear: LinearBackwardX, LinearBackwardW, BiasBackward;
    rest: EmbedBackward, NormBackward, GainBackward, RopeBackward, AttentionBackward,
        ActivateBackward, GatedBackward, CrossEntropy, Dropout, SquareSum, Clip, AdamW, Sgd, CastF16
}
