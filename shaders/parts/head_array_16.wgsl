// Slot `head_array`: a head of up to 16 vec4s in an invocation's own memory.
alias Head = array<vec4<f32>, 16>;

fn no_head() -> Head {
    return Head();
}
