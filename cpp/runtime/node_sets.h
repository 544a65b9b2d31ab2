// Disjoint sets of nodes that grow together (union-find): the nodes of a set are to be one program.
#pragma once

#include <cstddef>
#include <vector>

namespace lamina::runtime {

class NodeSets {
 public:
  // A set of one node, which takes so many registers at most. Its number stays a number of the set that the node is in.
  size_t add(int registers) {
    entries_.push_back({entries_.size(), 1, registers});
    return entries_.size() - 1;
  }

  // The one number of a set that stands for it. A set has no more nodes than registers, and so no long chains.
  size_t find(size_t set) const {
    while (entries_[set].parent != set) set = entries_[set].parent;
    return set;
  }

  // Makes one set of two, for which the first one's number stands.
  void unite(size_t into, size_t from) {
    into = find(into);
    from = find(from);
    if (into == from) return;
    entries_[from].parent = into;
    entries_[into].nodes += entries_[from].nodes;
    entries_[into].registers += entries_[from].registers;
  }

  bool are_one(size_t a, size_t b) const { return find(a) == find(b); }
  int nodes(size_t set) const { return entries_[find(set)].nodes; }
  int registers(size_t set) const { return entries_[find(set)].registers; }
  // What one node makes and another one reads was counted for both.
  void share_register(size_t set) { --entries_[find(set)].registers; }

 private:
  struct Entry {
    size_t parent;         // itself where it stands for its set
    int nodes, registers;  // of the set, where it stands for that
  };
  std::vector<Entry> entries_;
};

}  // namespace lamina::runtime
