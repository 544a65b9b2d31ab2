// A whole epoch in one call: gather rows, run the program, next batch.
#pragma once

#include <functional>

#include "runtime/gather.h"
#include "runtime/program.h"

namespace lamina::runtime {

// Memory for an output's rows of all batches; null: nowhere.
struct Collected {
  void* data = nullptr;
  size_t row_bytes = 0;
};

struct Epoch {
  std::vector<Rows> sources;       // one for each input of the program
  const int64_t* order = nullptr;  // which rows, in which order; null: all, as they lie
  int64_t rows = 0;
  int64_t batch_size = 1;
  graph::Variable* rate = nullptr;  // the learning rate, and its value at each step; null: unchanged
  const double* rates = nullptr;
  std::vector<Collected> collect;     // for each output: where its rows of all batches go
  double* scalars = nullptr;          // (batches, outputs without axes)
  std::function<bool(int64_t)> poll;  // told the batches done; true stops
  double poll_seconds = 0.1;
  bool guarded = false;  // whether to end at the first loss, output 0, that is not finite: before its update
};

int64_t batches_of(const Epoch& epoch);

// Runs the epoch's batches; returns how many were done. Other programs of the same variables run between two batches.
int64_t run_epoch(Program& program, const Epoch& epoch);

// A random order of 0..n-1 that depends on (seed, epoch) alone.
void permutation(int64_t* order, int64_t n, uint64_t seed, uint64_t epoch);

}  // namespace lamina::runtime
