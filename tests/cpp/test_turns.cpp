// Turns: threads that take them touch plain memory one at a time, also while groups become one, and while a fork waits for all of them.
// What they guard is not atomic, so that a missing happens-before shows under ThreadSanitizer, and a missing turn in the sums.
#include <array>
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "base/turns.h"
#include "check.h"

namespace {

using check::section;
using lamina::Turn;
using lamina::Turns;

constexpr int kThreads = 4;

// body(thread) on so many threads, which begin together.
template <class F>
void on_threads(int threads, const F& body) {
  std::latch all_there(threads);
  std::vector<std::thread> running;
  for (int thread = 0; thread < threads; ++thread)
    running.emplace_back([&, thread] {
      all_there.arrive_and_wait();
      body(thread);
    });
  for (std::thread& thread : running) thread.join();
}

bool is_free_for_others(Turns& turns) {
  bool free = false;
  std::thread([&] {
    Turns* taken = turns.try_take();
    free = taken != nullptr;
    if (free) taken->give();
  }).join();
  return free;
}

void wait_until_wanted(Turns& turns) {
  while (!turns.wanted()) std::this_thread::yield();
}

void check_taken_again() {
  section("taken again by its holder");
  const auto turns = std::make_shared<Turns>();
  CHECK(!turns->mine() && is_free_for_others(*turns), "at first");
  turns->take();
  turns->take();
  CHECK(turns->mine() && !is_free_for_others(*turns), "taken twice");
  turns->give();
  CHECK(turns->mine() && !is_free_for_others(*turns), "given back once");
  turns->give();
  CHECK(!turns->mine() && is_free_for_others(*turns), "given back twice");
}

void check_one_at_a_time() {
  section("one at a time");
  constexpr int kTimes = 20'000;
  const auto turns = std::make_shared<Turns>();
  long count = 0;
  on_threads(kThreads, [&](int) {
    for (int i = 0; i < kTimes; ++i) {
      Turn turn(*turns);
      ++count;
      if (i % 400 == 0) turn.pass();
      const Turn again(*turns);
      ++count;
    }
  });
  CHECK(count == 2 * kThreads * kTimes, count << " of " << 2 * kThreads * kTimes);
}

void check_who_waits_comes_first() {
  section("who waits comes first");
  const auto turns = std::make_shared<Turns>();
  turns->take();
  CHECK(!turns->wanted(), "by nobody yet");
  bool had = false;
  std::thread other([&] {
    const Turn turn(*turns);
    had = true;
  });
  wait_until_wanted(*turns);
  turns->take();
  CHECK(!turns->wanted(), "who has it twice cannot pass it on");
  turns->give();
  for (int i = 0; i < 1000 && !had; ++i) turns->pass();  // more than once: on a busy machine it does not wait for ever
  CHECK(had && turns->mine(), "passed on, and taken again");
  turns->give();
  other.join();
}

// Two threads join the same groups in opposite directions, two take turns at them meanwhile: none waits for ever, and then a turn of one
// group is a turn of all.
void check_groups_join_crosswise() {
  section("groups join crosswise");
  constexpr int kGroups = 12, kRounds = 150, kTurns = 120;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::shared_ptr<Turns>> groups(kGroups);
    for (auto& group : groups) group = std::make_shared<Turns>();
    std::vector<long> counts(kGroups, 0);
    const auto join_all = [&](bool upward) {
      for (size_t i = 1; i < kGroups; ++i) {
        if (upward)
          Turns::join(groups[i - 1], groups[i]);
        else
          Turns::join(groups[kGroups - i], groups[kGroups - i - 1]);
      }
      for (const auto& group : groups) {
        const Turn turn(*group);
        for (long& count : counts) ++count;
      }
    };
    const auto take_each = [&] {
      for (size_t i = 0; i < kTurns; ++i) {
        const Turn turn(*groups[i % kGroups]);
        ++counts[i % kGroups];
      }
    };
    on_threads(kThreads, [&](int thread) {
      if (thread < 2)
        join_all(thread == 0);
      else
        take_each();
    });
    constexpr long kRight = 2 * kTurns / kGroups + 2 * kGroups;
    for (long count : counts) CHECK(count == kRight, count << " of " << kRight);
    const Turns* one = groups[0]->take();
    for (const auto& group : groups) CHECK(group->take() == one, "one is all");
    for (int i = 0; i < kGroups + 1; ++i) groups[0]->give();
    CHECK(is_free_for_others(*groups[1]), "all are given back");
  }
}

void check_a_join_waits_without_a_turn() {
  section("a join waits without a turn");
  const auto a = std::make_shared<Turns>(), b = std::make_shared<Turns>();
  b->take();
  std::thread other([&] { Turns::join(a, b); });
  wait_until_wanted(*b);
  CHECK(is_free_for_others(*a), "who waits for the one does not keep the other");
  b->give();
  other.join();
  CHECK(a->take() == b->take(), "they are one");
  a->give();
  b->give();
}

void check_held_groups_join() {
  section("groups that this thread has join");
  const auto a = std::make_shared<Turns>(), b = std::make_shared<Turns>(), c = std::make_shared<Turns>();
  a->take();
  b->take();
  b->take();
  int had = 0;
  std::vector<std::thread> others;
  for (int i = 0; i < 2; ++i)
    others.emplace_back([&] {
      const Turn turn(*a);
      ++had;
    });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // they sleep by now, at what is about to become part of another
  Turns::join(c, Turns::join(b, a));
  for (int left = 3; left > 0; --left) {
    CHECK(!is_free_for_others(*a) && !is_free_for_others(*b) && !is_free_for_others(*c), left << " takes are left");
    (left == 2 ? a : b)->give();
  }
  for (std::thread& other : others) other.join();
  CHECK(had == 2, had << " of two who waited");
  CHECK(is_free_for_others(*a) && is_free_for_others(*b) && is_free_for_others(*c), "every take was given back");
}

// What two groups guard, and what several threads add to it. Who has one turn may try for the other, but not wait.
struct Guarded {
  std::array<std::shared_ptr<Turns>, 2> groups = {std::make_shared<Turns>(), std::make_shared<Turns>()};
  std::array<long, 2> counts = {0, 0};

  long add(int thread, int times) {
    long added = 0;
    for (int i = 0; i < times; ++i) {
      const size_t first = size_t(i + thread) % 2, second = 1 - first;
      const Turn turn(*groups[first]);
      ++counts[first];
      ++added;
      if (Turns* other = groups[second]->try_take()) {
        ++counts[second];
        ++added;
        other->give();
      }
    }
    return added;
  }
};

// Two threads fork by turns; in between nobody else is at work, so without any turn they may touch everything.
void check_forks_during_traffic() {
  section("forks during traffic");
  constexpr int kForks = 60, kTimes = 20'000;
  Guarded guarded;
  std::array<long, kThreads + 2> added = {};
  std::array<bool, 2> still = {true, true};
  const auto fork = [&](size_t thread) {
    for (int i = 0; i < kForks; ++i) {
      lamina::close_for_fork();
      const std::array<long, 2> before = guarded.counts;
      std::this_thread::yield();
      still[thread] = still[thread] && guarded.counts == before;
      ++guarded.counts[0];
      lamina::open_after_fork();
      std::this_thread::yield();
    }
    added[thread] = kForks;
  };
  on_threads(kThreads + 2, [&](int thread) {
    if (thread < 2)
      fork(size_t(thread));
    else
      added[size_t(thread)] = guarded.add(thread, kTimes);
  });
  const long right = std::accumulate(added.begin(), added.end(), 0L);
  CHECK(still[0] && still[1], "somebody was at work during a fork");
  CHECK(guarded.counts[0] + guarded.counts[1] == right, guarded.counts[0] << " and " << guarded.counts[1] << " of " << right);
}

void check_a_holder_forks() {
  section("who has a turn forks");
  constexpr int kForks = 60, kTimes = 10'000;
  Guarded guarded;
  std::array<long, kThreads> added = {};
  const auto fork = [&] {
    for (int i = 0; i < kForks; ++i) {
      const Turn turn(*guarded.groups[1]);
      lamina::close_for_fork();  // this turn is not waited for
      ++guarded.counts[0];       // whose turn this thread does not have
      lamina::open_after_fork();
    }
    added[0] = kForks;
  };
  on_threads(kThreads, [&](int thread) {
    if (thread == 0)
      fork();
    else
      added[size_t(thread)] = guarded.add(thread, kTimes);
  });
  const long right = std::accumulate(added.begin(), added.end(), 0L);
  CHECK(guarded.counts[0] + guarded.counts[1] == right, guarded.counts[0] << " and " << guarded.counts[1] << " of " << right);
}

void check_the_gate() {
  section("a closed gate");
  const auto turns = std::make_shared<Turns>();
  lamina::close_for_fork();
  CHECK(!is_free_for_others(*turns), "none begins while it is closed");
  std::atomic<bool> open{false};
  bool too_early = false;
  std::thread other([&] {
    const Turn turn(*turns);
    too_early = !open;
  });
  std::this_thread::yield();
  open = true;
  lamina::open_after_fork();
  other.join();
  CHECK(!too_early && is_free_for_others(*turns), "they begin once it is open");
}

// A fork waits for a long job no longer than until it passes its turn on.
void check_a_long_job_lets_a_fork_in() {
  section("a long job lets a fork in");
  const auto turns = std::make_shared<Turns>();
  turns->take();
  bool forked = false;
  std::thread other([&] {
    lamina::close_for_fork();
    forked = true;
    lamina::open_after_fork();
  });
  wait_until_wanted(*turns);
  turns->pass();
  CHECK(forked && turns->mine(), "before the turn is taken again");
  turns->give();
  other.join();
}

std::atomic<int> waits{0};

void check_how_to_wait() {
  section("how to wait");
  lamina::set_waiting([](void (*wait)(void*), void* context) {
    ++waits;
    wait(context);
  });
  const auto turns = std::make_shared<Turns>();
  turns->take();
  CHECK(waits == 0, "it is free");
  std::thread other([&] { const Turn turn(*turns); });
  wait_until_wanted(*turns);
  turns->give();
  other.join();
  CHECK(waits == 1, waits << " waits of one thread");
  lamina::set_waiting([](void (*wait)(void*), void* context) { wait(context); });  // as at first
}

}  // namespace

int main() {
  check_taken_again();
  check_one_at_a_time();
  check_who_waits_comes_first();
  check_groups_join_crosswise();
  check_a_join_waits_without_a_turn();
  check_held_groups_join();
  check_forks_during_traffic();
  check_a_holder_forks();
  check_the_gate();
  check_a_long_job_lets_a_fork_in();
  check_how_to_wait();
  return check::finish();
}
