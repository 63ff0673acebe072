// A dashboard as it is written in JSON: an enumeration is the text of its value. Annotations have the query of their data
// source, which the schema leaves to that.
import type { Dashboard, AnnotationQuery } from "./node_modules/@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen";

type Written<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Written<T[K]> } : T;
type Annotations = { list: (Written<AnnotationQuery> & { expr: string })[] };
export type WrittenDashboard = Omit<Written<Dashboard>, "annotations"> & { annotations: Annotations };
