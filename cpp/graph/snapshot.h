// Variables as they are between two steps: copied, or kept from changing.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "base/aligned.h"
#include "graph/variable.h"

namespace lamina::graph {

using Variables = std::vector<std::shared_ptr<Variable>>;

// A copy of variables, in memory that it keeps: to take it again asks for none.
class Snapshot {
 public:
  explicit Snapshot(Variables variables) : variables_(std::move(variables)), turns_(Variable::turns_of(variables_)) {
    size_t bytes = 0;
    for (const auto& v : variables_) bytes += v->bytes();
    values_.reset(bytes, [] { return std::string("a copy of the parameters"); });
  }
  bool is_of(const Variables& variables) const { return variables == variables_; }
  void take() {
    copy([](char* kept, const Variable& v) { std::memcpy(kept, v.data(), v.bytes()); });
  }
  void restore() {
    copy([](const char* kept, Variable& v) { std::memcpy(v.data(), kept, v.bytes()); });
  }

 private:
  template <class Copy>
  void copy(const Copy& one) {
    const Turn turn(*turns_);
    char* kept = values_.data();
    for (const auto& v : variables_) {
      if (v->bytes() > 0) one(kept, *v);
      kept += v->bytes();
    }
  }

  Variables variables_;
  std::shared_ptr<Turns> turns_;
  AlignedBuffer values_;
};

// `with Section(variables):` the thread's programs and readings of them follow one another without another thread's between.
class Section {
 public:
  explicit Section(const Variables& variables) : turns_(Variable::turns_of(variables)) {}
  void enter() { turn_ = std::make_unique<Turn>(*turns_); }
  void leave() { turn_.reset(); }

 private:
  std::shared_ptr<Turns> turns_;
  std::unique_ptr<Turn> turn_;
};

}  // namespace lamina::graph
