// Which kernels run: the best that the processor has, or the one that LAMINA_ISA names.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.h"

namespace lamina::kernels {

// The selected table. Chosen once, at the first call; LAMINA_ISA forces one.
// Throws std::invalid_argument when LAMINA_ISA names an unknown or unsupported instruction set.
const Table& table();

// Every table that this processor can run, best first (for tests that compare them).
std::vector<const Table*> supported_tables();

// Makes `name` the selected table (tests and benchmarks); throws std::invalid_argument as above.
void select(const std::string& name);

// The tile instruction of that name; throws std::invalid_argument where none is called so.
const TileEntry& find_tile(const Table& table, const std::string& name);
// The update rule of that name, or null.
const RuleEntry* find_rule(const Table& table, const std::string& name);

}  // namespace lamina::kernels
