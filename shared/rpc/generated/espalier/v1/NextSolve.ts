// Original file: protos/espalier/v1/worker.proto


export interface NextSolve {
  'layer'?: (number);
  'subLayer'?: (string);
}

export interface NextSolve__Output {
  'layer': (number);
  'subLayer': (string);
}
