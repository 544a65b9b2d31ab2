// Whether a short program is faster on all threads or on the caller's alone. That is no question of its work only: two processors may
// share one core, or lie at different ends of a chip, so that what one has written reaches the other late; somebody else may use them;
// threads that wait for the next call of Python have gone to sleep. So it is tried out now and then, and never settled.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lamina::runtime {

class Pace {
 public:
  // How the next run goes.
  bool together() const { return together_ != (state_ == State::trying_other); }

  // Whether the next run is to be timed.
  bool trying() const { return state_ != State::settled; }

  // After a run that was not timed.
  void ran() {
    if (++runs_ >= interval_) begin(State::trying_other);
  }

  // After one that was: its time, over its work, as the next one may be of another batch size.
  void took(double time) {
    best_ = std::min(best_, time);
    if (++runs_ < kTries) return;
    if (state_ == State::trying_other) {
      other_ = best_;
      begin(State::trying_same);
      return;
    }
    const bool changes = other_ < kWorth * best_;
    together_ = together_ != changes;
    interval_ = changes ? kFirst : std::min(2 * interval_, kLongest);
    begin(State::settled);
  }

 private:
  enum class State { settled, trying_other, trying_same };

  static constexpr int64_t kTries = 4;  // runs of each way, the fastest of which counts: the first one may wake threads
  static constexpr int64_t kFirst = 64, kLongest = 1024;  // runs between two trials: the longer, the more often nothing changes
  static constexpr double kWorth = 0.95;                  // less is not worth a change

  void begin(State state) {
    state_ = state;
    runs_ = 0;
    best_ = 1e300;
  }

  State state_ = State::settled;
  bool together_ = true;
  int64_t runs_ = 0, interval_ = kFirst;
  double best_ = 1e300, other_ = 0;
};

}  // namespace lamina::runtime
