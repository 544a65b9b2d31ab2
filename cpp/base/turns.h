// Threads that share memory touch it in turns. One group of variables (those that ever stood in one program) has one Turns. A thread
// that holds one turn never waits for another: two threads, each waiting for the turn that the other holds, would wait for ever.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

namespace lamina {

// A lock that its holder may take again, that a long job can pass on at good moments, and that can become one with another.
class Turns : public std::enable_shared_from_this<Turns> {
 public:
  // Both return the Turns that was taken, this one or what it became part of; try_take() null where that would mean to wait.
  Turns* take();
  Turns* try_take();
  void give();

  // By the holder, between two steps of a long job: whoever waits comes first. pass() returns what was taken again.
  bool wanted();
  Turns* pass();

  bool mine() const { return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }

  // Merges two locks: whoever holds one of them holds the merged one, until every take of either is given back. Waits until both are
  // free, or this thread's.
  static std::shared_ptr<Turns> join(std::shared_ptr<Turns> a, std::shared_ptr<Turns> b);

 private:
  Turns* root();
  bool enter();    // takes it if it is free
  void leave();    // after the last of its takes is given back
  Turns* queue();  // takes it, waiting for it

  std::atomic<int> taken_{0};
  std::atomic<int> waiting_{0};
  std::atomic<uint32_t> entries_{0};  // of those that waited
  std::atomic<std::thread::id> owner_{};
  int depth_ = 0;
  std::atomic<int> members_{1};  // changes while both turns of a join are held; read without one, as a hint
  std::atomic<Turns*> part_of_{nullptr};
  std::shared_ptr<Turns> keep_;
};

// A turn while it lives, or until it is given back.
class Turn {
 public:
  explicit Turn(Turns& turns) : turns_(turns.take()) {}
  ~Turn() { give(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  void give() {
    if (turns_ != nullptr) turns_->give();
    turns_ = nullptr;
  }

  // Lets others in, if any wait; whether it did.
  bool pass() {
    if (!turns_->wanted()) return false;
    turns_ = turns_->pass();
    return true;
  }

 private:
  Turns* turns_;
};

// How to wait: calls wait(context) once, and may let go meanwhile of what others need to come to their end.
using Waiting = void (*)(void (*wait)(void* context), void* context);
void set_waiting(Waiting waiting);

// Before a fork: waits until no thread but this one has a turn, and lets none begin; so a child never inherits half a step.
void close_for_fork();
void open_after_fork();

}  // namespace lamina
