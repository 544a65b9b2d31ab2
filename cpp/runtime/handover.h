// Parts of a result on their way from the thread that begins them to the one that goes on with them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/threads.h"

namespace lamina::runtime {

class Handover {
 public:
  // For so many parts, none of which is there yet. Not while threads are at work.
  void reset(int64_t parts) {
    given_ = std::make_unique<std::atomic<bool>[]>(static_cast<size_t>(parts));
    for (int64_t i = 0; i < parts; ++i) given_[i] = false;
  }
  void give(int64_t part) const { given_[part].store(true, std::memory_order_release); }
  // Waits for the part; in the next run it is to be given anew.
  void take(int64_t part) const {
    wait_for(given_[part]);
    given_[part].store(false, std::memory_order_relaxed);
  }

 private:
  std::unique_ptr<std::atomic<bool>[]> given_;
};

}  // namespace lamina::runtime
