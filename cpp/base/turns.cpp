#include "base/turns.h"

#include <chrono>
#include <utility>

namespace lamina {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kSpinForATurn{10};  // a prediction of a small network ends within this time
constexpr std::chrono::milliseconds kPatience{5};       // for a thread that was woken to come, on a busy machine

std::atomic<Waiting> waiting_for_others{[](void (*wait)(void*), void* context) { wait(context); }};

// ---- The gate that a fork closes: threads inside have a turn, or are about to see whether it is free ----

std::atomic<int> inside{0};
std::atomic<bool> closed{false};
thread_local int turns_held = 0;

bool try_pass_gate() {
  if (turns_held > 0) return true;  // whoever has a turn must come to its end
  inside.fetch_add(1, std::memory_order_seq_cst);
  if (!closed.load(std::memory_order_seq_cst)) return true;
  inside.fetch_sub(1, std::memory_order_seq_cst);
  return false;
}

void leave_gate() {
  if (turns_held == 0) inside.fetch_sub(1, std::memory_order_release);
}

}  // namespace

void set_waiting(Waiting waiting) { waiting_for_others.store(waiting); }

void close_for_fork() {
  while (closed.exchange(true, std::memory_order_seq_cst)) closed.wait(true);
  while (inside.load(std::memory_order_seq_cst) > (turns_held > 0 ? 1 : 0)) std::this_thread::yield();
}

void open_after_fork() {
  closed.store(false, std::memory_order_seq_cst);
  closed.notify_all();
}

// ---- Turns ----

Turns* Turns::root() {
  Turns* at = this;
  while (Turns* up = at->part_of_.load(std::memory_order_acquire)) at = up;
  return at;
}

bool Turns::enter() {
  int none = 0;
  if (!taken_.compare_exchange_strong(none, 1, std::memory_order_acquire, std::memory_order_relaxed)) return false;
  owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  depth_ = 1;
  ++turns_held;
  return true;
}

Turns* Turns::try_take() {
  Turns* at = root();
  if (at->mine()) {
    ++at->depth_;
    return at;
  }
  if (!try_pass_gate()) return nullptr;
  if (at->enter()) {
    if (at->part_of_.load(std::memory_order_acquire) == nullptr) return at;
    at->leave();
  } else {
    leave_gate();
  }
  return nullptr;
}

Turns* Turns::take() {
  if (Turns* at = try_take()) return at;
  std::pair<Turns*, Turns*> asked{this, nullptr};
  waiting_for_others.load()(
      [](void* context) {
        auto* question = static_cast<std::pair<Turns*, Turns*>*>(context);
        question->second = question->first->queue();
      },
      &asked);
  return asked.second;
}

// Whoever waits is outside the gate: a fork need not wait for it, which may be for ever where the forking thread has the turn.
Turns* Turns::queue() {
  Turns* at = nullptr;
  const auto start = Clock::now();
  while (true) {
    if (Turns* now = root(); now != at) {
      if (at != nullptr) at->waiting_.fetch_sub(1, std::memory_order_seq_cst);
      now->waiting_.fetch_add(1, std::memory_order_seq_cst);
      at = now;
    }
    if (Turns* taken = try_take()) {
      at->waiting_.fetch_sub(1, std::memory_order_seq_cst);
      taken->entries_.fetch_add(1, std::memory_order_release);
      return taken;
    }
    if (closed.load(std::memory_order_seq_cst))
      closed.wait(true);
    else if (Clock::now() - start > kSpinForATurn)
      at->taken_.wait(1, std::memory_order_seq_cst);
  }
}

// Where this lock was merged into another, the depth is kept in the root.
void Turns::give() {
  Turns* at = root();
  if (--at->depth_ == 0) at->leave();
}

void Turns::leave() {
  depth_ = 0;
  owner_.store(std::thread::id(), std::memory_order_relaxed);
  --turns_held;
  taken_.store(0, std::memory_order_seq_cst);
  if (waiting_.load(std::memory_order_seq_cst) > 0) {
    // Whoever takes it next wakes the one after; but of what became part of another no one takes a turn again.
    if (part_of_.load(std::memory_order_acquire) == nullptr)
      taken_.notify_one();
    else
      taken_.notify_all();
  }
  leave_gate();
}

bool Turns::wanted() {
  const Turns* at = root();
  return at->depth_ == 1 && (at->waiting_.load(std::memory_order_relaxed) > 0 || closed.load(std::memory_order_relaxed));
}

Turns* Turns::pass() {
  if (Turns* at = root(); at != this) return at->pass();
  const uint32_t before = entries_.load(std::memory_order_acquire);
  const auto start = Clock::now();
  give();
  while (waiting_.load(std::memory_order_relaxed) > 0 && entries_.load(std::memory_order_acquire) == before &&
         Clock::now() - start < kPatience)
    std::this_thread::yield();
  return take();
}

std::shared_ptr<Turns> Turns::join(std::shared_ptr<Turns> a, std::shared_ptr<Turns> b) {
  while (true) {
    Turns *first = a->root(), *second = b->root();
    if (first == second) return first->shared_from_this();
    // The one that this thread has stays, as it goes on having it; else the larger one, whose programs then look no further.
    if (!first->mine() &&
        (second->mine() || second->members_.load(std::memory_order_relaxed) > first->members_.load(std::memory_order_relaxed)))
      std::swap(first, second);
    // One after the other: no thread waits for a second turn while it has a first one that others may need.
    first = first->take();
    Turns* other = second->try_take();
    if (other == nullptr || other == first) {
      if (other != nullptr) other->give();
      first->give();
      if (other == nullptr) second->take()->give();
      continue;
    }
    first->members_.fetch_add(other->members_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    other->keep_ = first->shared_from_this();
    other->part_of_.store(first, std::memory_order_release);
    first->depth_ += other->depth_ - 1;  // what this thread had of it before
    other->leave();
    auto joined = first->shared_from_this();
    first->give();
    return joined;
  }
}

}  // namespace lamina
